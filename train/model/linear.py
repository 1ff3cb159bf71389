"""y = x W^T in float32 on x86 through oneDNN, where the product is large enough for that to pay.

PyTorch gives float32 products to MKL, which on a CPU that is not Intel's uses half the width of its
vector units; oneDNN, which PyTorch brings along for bfloat16, uses all of it. On an AVX-512 AMD
core that is 240 instead of 108 GFLOP/s with the same arithmetic: float32 in, float32 summed. A call
costs some 10 microseconds more, so small products stay where they were. docs/performance.md has the
figures and `python -m benchmarks.products` prints them.
"""

import platform

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

PAYS_MULTIPLICATIONS = 3_000_000
"""Size, rows x in x out, from which a forward product or a gradient of inputs gains."""

PAYS_FOR_WEIGHTS = 6_000_000
"""The same for a gradient of weights, whose factors have to be turned first."""

ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T, as `F.linear` without a bias.

    Args:    x: (rows, in); weight: (out, in).
    """
    # The size is asked last: in a traced graph it would be one more condition on the shapes.
    if ONEDNN and _plain_float32(x) and x.shape[0] * weight.numel() >= PAYS_MULTIPLICATIONS:
        return _Linear.apply(x, weight)  # type: ignore[no-any-return]
    return F.linear(x, weight)


def _plain_float32(x: Tensor) -> bool:
    """Float32 on a CPU, neither under autocast nor inside a compiled graph, which has its own."""
    return (
        not torch.compiler.is_compiling()
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )


class _Linear(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        for_x = _onednn(grad, weight.t())
        if x.shape[0] * weight.numel() < PAYS_FOR_WEIGHTS:
            return for_x, grad.t() @ x
        # The first factor is turned by a copy, so it should be the narrower one.
        if grad.shape[1] > x.shape[1]:
            return for_x, _onednn(x.t(), grad.t()).t().contiguous()
        return for_x, _onednn(grad.t(), x.t())


def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
