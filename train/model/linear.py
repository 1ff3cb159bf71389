"""y = x W^T in float32 on a CPU, through oneDNN for the sizes at which this machine is faster.

PyTorch gives float32 products to MKL, which on some processors uses half the width of their vector
units; oneDNN, which PyTorch brings along for bfloat16, uses all of it, and on others is the slower
one. The arithmetic is the same: float32 in, float32 summed. Which sizes, if any, `train.speed` has
measured; the operator is private to PyTorch, and where it is missing `F.linear` takes its place.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from train.config.kernels import LIBRARY, Kernels


def has_onednn() -> bool:
    """Whether this build of PyTorch can compute a float32 product through oneDNN."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


ONEDNN = has_onednn()


def linear(x: Tensor, weight: Tensor, kernels: Kernels = LIBRARY) -> Tensor:
    """x W^T, as `F.linear` without a bias.

    Args:    x: (rows, in); weight: (out, in).
    """
    smallest = kernels.onednn_from
    # The size is asked last: in a traced graph it would be one more condition on the shapes.
    if (
        smallest is not None
        and ONEDNN
        and _plain_float32(x)
        and x.shape[0] * weight.numel() >= smallest
    ):
        return _Linear.apply(x, weight, kernels.onednn_weights_from)  # type: ignore[no-any-return]
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
    def forward(ctx, x: Tensor, weight: Tensor, weights_from: int | None) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, weight)
        ctx.weights_from = weights_from
        return onednn_product(x, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        for_x = onednn_product(grad, weight.t())
        if ctx.weights_from is None or x.shape[0] * weight.numel() < ctx.weights_from:
            return for_x, grad.t() @ x, None
        return for_x, onednn_weight_gradient(grad, x), None


def onednn_weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """grad^T x. The first factor is turned by a copy, so it should be the narrower one."""
    if grad.shape[1] > x.shape[1]:
        return onednn_product(x.t(), grad.t()).t().contiguous()
    return onednn_product(grad.t(), x.t())


def onednn_product(x: Tensor, weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
