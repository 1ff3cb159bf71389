"""Peaks by the driver's exact names; anything else has none."""

import pytest

from train.config.gpu_peaks import PEAK_BF16_FLOPS, PRODUCTS, peak_bf16_flops


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA B200", 2250),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", 181),
        ("NVIDIA L4", 121),
        ("Tesla T4", 65),
        ("NVIDIA A10", 125),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("A100-SXM4-40GB", 312),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_a_card_has_its_own_data_sheets_dense_peak(name: str, teraflops: float):
    assert peak_bf16_flops(name) == pytest.approx(teraflops * 1e12)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H20",
        "NVIDIA A10G",
        "NVIDIA GeForce RTX 3090",
        "NVIDIA GeForce RTX 5090",
        "NVIDIA T400",
        "NVIDIA T400 4GB",
        "NVIDIA A1000",
        "NVIDIA L400",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "MIG 1g.5gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "",
    ],
)
def test_a_name_that_is_not_known_or_merely_resembles_one_has_no_peak(name: str):
    assert peak_bf16_flops(name) is None


def test_every_product_has_a_name_and_every_name_a_product():
    assert set(PRODUCTS.values()) == set(PEAK_BF16_FLOPS)
