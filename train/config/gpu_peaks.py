"""What GPUs can do at best, by name; a plan must know it without torch and without a GPU."""

PEAK_BF16_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "V100": 125e12,
    "T4": 65e12,
}
"""Dense bf16 (fp16 before Ampere) peaks of the SXM or largest variant, from data sheets."""
