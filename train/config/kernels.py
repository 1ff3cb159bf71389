"""Which kernels compute a run's products and attention on a CPU."""

from dataclasses import dataclass

from train.config.spec import require


@dataclass(frozen=True)
class Kernels:
    """Sizes from which a kernel of ours takes the place of PyTorch's own call; None is never.

    Two choices compute the same numbers up to rounding, and a run keeps the one it began with
    (`train.speed`).

    Attributes:
        onednn_from: Multiplications (rows x in x out) of a forward product or a gradient of inputs
            from which oneDNN computes it (`train.model.linear`).
        onednn_weights_from: The same of a gradient of weights, whose factors have to be turned.
        blocks_from: Context from which attention goes block by block (`train.model.attention`).
        float32_attention_from: Context from which a bfloat16 run's attention is in float32.
    """

    onednn_from: int | None = None
    onednn_weights_from: int | None = None
    blocks_from: int | None = None
    float32_attention_from: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(value is None or value >= 0, f"{name}={value} must be at least 0")

    @property
    def label(self) -> str:
        """In words, for records and tables."""
        parts = []
        if self.onednn_from is not None:
            parts.append(f"oneDNN from {self.onednn_from:.2g}")
        if self.onednn_weights_from is not None:
            parts.append(f"oneDNN weight gradients from {self.onednn_weights_from:.2g}")
        if self.blocks_from is not None:
            parts.append(f"attention in blocks from {self.blocks_from}")
        if self.float32_attention_from is not None:
            parts.append(f"attention in float32 from {self.float32_attention_from}")
        return ", ".join(parts) or "library"


LIBRARY = Kernels()
"""F.linear and scaled_dot_product_attention throughout: from this anything else proves itself."""

EARLIER = Kernels(3_000_000, 6_000_000, 256)
"""What every run of an earlier release was computed with, and goes on with when it is resumed."""
