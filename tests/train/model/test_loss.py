"""The loss in chunks against PyTorch's over all logits."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from train.model.loss import IGNORED, chunked_loss

N, WIDTH, VOCABULARY, PADDED = 50, 16, 37, 64


def batch(masked: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, WIDTH, generator=generator).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    labels = torch.randint(0, VOCABULARY, (N,), generator=generator)
    if masked:
        labels[::3] = IGNORED
    return hidden, weight, labels


def whole(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(hidden, weight).float(), labels, reduction="sum")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("positions", [1, 7, N, 10 * N])
def test_loss_and_gradients_are_those_of_all_logits_at_once(masked, positions):
    hidden, weight, labels = batch(masked)
    expected = whole(hidden, weight, labels)
    got = chunked_loss(hidden, weight, labels, positions * PADDED)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
    for ours, theirs in zip(
        torch.autograd.grad(3 * got, (hidden, weight)),
        torch.autograd.grad(3 * expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_under_autocast_products_are_in_bfloat16_and_the_loss_in_float32():
    hidden, weight, labels = batch(masked=True)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = whole(hidden, weight, labels), chunked_loss(hidden, weight, labels, 200)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
    ours, theirs = (torch.autograd.grad(loss, (hidden, weight)) for loss in (got, expected))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 1e-2 * other.norm()


@pytest.mark.parametrize("vocabulary", [37, 64])
def test_columns_of_logits_are_a_multiple_of_64_and_gradients_have_the_weights_shape(vocabulary):
    hidden, weight, labels = batch(masked=False)
    weight = torch.randn(vocabulary, WIDTH).requires_grad_()
    with Largest() as sizes:
        chunked_loss(hidden, weight, labels % 37).backward()
    assert sizes.values == N * 64
    assert weight.grad is not None
    assert weight.grad.shape == weight.shape


def test_without_gradients_none_are_computed():
    hidden, weight, labels = batch(masked=False)
    with torch.no_grad(), Largest() as sizes:
        loss = chunked_loss(hidden, weight, labels, 5 * PADDED)
    assert not loss.requires_grad
    assert sum("mm" in name for name in sizes.names) == 10  # a product a chunk, no gradient's


class Largest(TorchDispatchMode):
    """The most values that any operation gave, and every operation by name."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.names = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.values = max(self.values, out.numel())
        self.names.append(str(func))
        return out


def test_no_more_logits_lie_in_memory_than_are_allowed():
    hidden, weight, labels = batch(masked=False)
    with Largest() as sizes:
        chunked_loss(hidden, weight, labels, 25 * PADDED).backward()
    assert sizes.values == 25 * PADDED  # also more than the weights' and the hidden states'
    with Largest() as sizes:
        whole(hidden, weight, labels).backward()
    assert sizes.values == N * VOCABULARY


@pytest.mark.parametrize(("z_loss", "softcap"), [(0.01, None), (0.0, 3.0), (0.01, 3.0)])
def test_z_loss_and_a_cap_in_chunks_are_those_of_autograd(z_loss, softcap):
    """The value is the log-likelihood alone; the gradient is also that of the z-loss."""
    torch.manual_seed(0)
    hidden = torch.randn(12, 8, requires_grad=True)
    weight = torch.randn(50, 8, requires_grad=True)
    labels = torch.randint(0, 50, (12,))
    labels[3] = IGNORED
    got = chunked_loss(hidden, weight, labels, 4 * 64, z_loss, softcap)
    found = torch.autograd.grad(got, (hidden, weight))
    logits = hidden @ weight.t()
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    nll = F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED)
    squares = torch.logsumexp(logits, -1).square()[labels != IGNORED].sum()
    expected = torch.autograd.grad(nll + z_loss * squares, (hidden, weight))
    assert got.item() == pytest.approx(nll.item(), rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
