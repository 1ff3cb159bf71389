"""Measurements of two makers' machines, as `train.speed` would have made them (seconds)."""

from train.speed.table import AttentionTime, CompiledTime, ProductTime, SpeedTable, StepTime

SLOW_MKL = SpeedTable(
    products=(
        ProductTime(2**19, 1.0, 2.0, 1.0, 2.0),
        ProductTime(2**21, 2.0, 1.0, 2.0, 3.0),
        ProductTime(2**23, 4.0, 3.9, 4.0, 3.0),
        ProductTime(2**25, 8.0, 4.0, 8.0, 6.0),
        ProductTime(2**27, 16.0, 8.0, 16.0, 12.0),
    ),
    attention=(
        AttentionTime(128, 16, 1.0, 1.2),
        AttentionTime(256, 16, 2.0, 1.5),
        AttentionTime(512, 16, 4.0, 3.0),
        AttentionTime(128, 64, 2.0, 2.5),
        AttentionTime(256, 64, 4.0, 4.0),
        AttentionTime(512, 64, 8.0, 5.0),
    ),
    steps=(
        StepTime(32, 1e9, 0.010, 0.0098, 0.02),
        StepTime(64, 4e9, 0.030, 0.025, 0.030),
        StepTime(128, 16e9, 0.100, 0.070, 0.060),
        StepTime(256, 64e9, 0.400, 0.250, 0.200),
    ),
    compiled=(
        CompiledTime(256, "fp32", 2, 0.250, 0.300, 20.0),
        CompiledTime(256, "bf16", 2, 0.200, 0.150, 20.0),
        CompiledTime(128, "fp32", 2, 0.070, None, 0.0),
    ),
)
"""oneDNN pays from 2^25 multiplications (at 2^23 by less than 3 %), for weights from 2^23; blocks,
for heads of 64, from a context of 512; at width 32 a whole step does not gain."""

FAST_MKL = SpeedTable(
    products=tuple(ProductTime(2**n, 1.0, 1.2, 1.0, 1.4) for n in (19, 21, 23, 25, 27)),
    attention=tuple(AttentionTime(n, d, 1.0, 1.1) for n in (128, 256, 512) for d in (16, 64)),
    steps=tuple(StepTime(d, 1e9, 0.01, 0.01, 0.008) for d in (32, 64, 128, 256)),
    compiled=(CompiledTime(64, "fp32", 2, 0.01, 0.007, 20.0),),
)
"""PyTorch's own calls win at every size; compiling gains 1.43."""
