"""What GPUs can do at best, by name; a plan must know it without torch and without a GPU."""

PEAK_BF16_FLOPS = {
    "B200": 2250e12,  # HGX B200 data sheet: 36 PFLOPS sparse for eight
    "H200": 989e12,  # H200 data sheet: 1,979 TFLOPS sparse
    "H200 NVL": 835e12,  # H200 data sheet: 1,671 sparse
    "H100": 989e12,  # H100 data sheet, SXM: 1,979 sparse
    "H100 PCIe": 756e12,  # H100 data sheet, PCIe: 1,513 sparse
    "H100 NVL": 835e12,  # H100 data sheet, NVL, per card: 1,671 sparse
    "A100": 312e12,  # A100 data sheet, the same for SXM and PCIe
    "A10": 125e12,  # A10 data sheet
    "L40S": 362e12,  # L40S data sheet
    "L40": 181e12,  # L40 data sheet
    "L4": 121e12,  # L4 data sheet: 242 sparse
    "RTX 4090": 165.2e12,  # Ada whitepaper, sums in float32
    "V100": 125e12,  # V100 data sheet, SXM2, fp16
    "T4": 65e12,  # T4 data sheet, fp16
}
"""Peaks by product, dense, with float32 sums: bf16, and fp16 before Ampere, which has no bf16.

Data sheets mostly give the figure with sparsity, of which half is dense. Cards whose figure could
not be confirmed, or on which lists disagree (B300, H20, A10G, RTX 6000 Ada, 5090, 3090), are left
out: no MFU is better than a wrong one.
"""

PRODUCTS = {
    "B200": "B200",
    "H200": "H200",
    "H200 NVL": "H200 NVL",
    "H100 80GB HBM3": "H100",
    "H100 PCIe": "H100 PCIe",
    "H100 NVL": "H100 NVL",
    "A100-SXM4-40GB": "A100",
    "A100-SXM4-80GB": "A100",
    "A100-PCIE-40GB": "A100",
    "A100 80GB PCIe": "A100",
    "A10": "A10",
    "L40S": "L40S",
    "L40": "L40",
    "L4": "L4",
    "RTX 4090": "RTX 4090",
    "V100-SXM2-16GB": "V100",
    "V100-SXM2-32GB": "V100",
    "T4": "T4",
}
"""The name that a driver gives each card, without the maker's words before it."""


def peak_of(name: str) -> float | None:
    """Peak FLOP/s of a product of `PEAK_BF16_FLOPS` or of a card by its driver's name."""
    return PEAK_BF16_FLOPS.get(name) or peak_bf16_flops(name)


def peak_bf16_flops(name: str) -> float | None:
    """Peak FLOP/s of a card by the driver's name for it, None where it is not known.

    Names must match whole: part of a name would give an L40 the peak of an L4, a T400 that of a T4,
    and a MIG slice that of the whole card.
    """
    for words in ("NVIDIA ", "Tesla ", "GeForce "):
        name = name.removeprefix(words)
    return PEAK_BF16_FLOPS.get(PRODUCTS.get(name, ""))
