"""The training-time forward against Hugging Face's own, in losses and gradients."""

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
)

from train.config.kernels import EARLIER, LIBRARY, Kernels
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec
from train.model.attention import causal_attention
from train.model.build import SummedLoss, build_model
from train.model.forward import is_plain
from train.model.linear import ONEDNN, linear


def model_of(d_model: int, seq_len: int, **changes) -> PreTrainedModel:
    shape = ModelSpec(d_model=d_model, vocab_size=61, seq_len=seq_len, n_layers=2, **changes)
    model = build_model(complete_shape(shape), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def theirs(model: PreTrainedModel, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=tokens, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")


def gradients(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    named = dict(model.named_parameters())
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


@pytest.mark.parametrize("kernels", [LIBRARY, Kernels(0, 0, 0)], ids=["library", "ours"])
@pytest.mark.parametrize("labels_are", ["all", "masked"])
@pytest.mark.parametrize(
    ("d_model", "seq_len", "changes"),
    [(4, 12, {}), (16, 128, {"tied": True}), (64, 300, {}), (96, 256, {}),
     (64, 20, {"n_heads": 4, "n_kv_heads": 2}), (64, 256, {"n_heads": 4, "n_kv_heads": 1}),
     (64, 20, {"family": "qwen3", "n_heads": 4, "n_kv_heads": 2}), (24, 20, {"family": "qwen3"}),
     (24, 20, {"family": "gpt2"})],
)  # fmt: skip
def test_loss_and_gradients_equal_those_of_transformers(
    d_model, seq_len, changes, labels_are, kernels
):
    model = model_of(d_model, seq_len, **changes)
    tokens = torch.randint(0, 61, (3, seq_len))
    labels = torch.randint(0, 61, (3, seq_len))
    if labels_are == "masked":
        labels[:, ::3] = -100
    ours = SummedLoss(model, kernels)(tokens, labels, masked=labels_are == "masked")
    reference = theirs(model, tokens, labels)
    assert ours.item() == pytest.approx(reference.item(), rel=2e-6)
    expected, got = gradients(model, reference), gradients(model, ours)
    for name, gradient in expected.items():
        assert (got[name] - gradient).norm() < 2e-5 * gradient.norm(), name


@pytest.mark.parametrize("kernels", [LIBRARY, Kernels(None, None, 64, 64)], ids=["bf16", "wide"])
def test_under_autocast_it_rounds_as_transformers_does(kernels):
    model = model_of(64, 64)
    tokens, labels = torch.randint(0, 61, (2, 2, 64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, reference = SummedLoss(model, kernels)(tokens, labels), theirs(model, tokens, labels)
    assert ours.item() == pytest.approx(reference.item(), rel=2e-3)
    expected, got = gradients(model, reference), gradients(model, ours)
    for name, gradient in expected.items():
        assert (got[name] - gradient).norm() < 0.05 * gradient.norm(), name


@pytest.mark.parametrize("blocks", [None, 64])
def test_attention_of_a_bfloat16_run_in_float32_rounds_its_result_alone(blocks):
    inputs = [torch.randn(2, 3, 80, 8).bfloat16() for _ in range(3)]
    exact = F.scaled_dot_product_attention(*(x.float() for x in inputs), is_causal=True)
    error = {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for shortest in (80, 81):
            out = causal_attention(*inputs, Kernels(None, None, blocks, shortest))
            assert out.dtype == torch.bfloat16
            error[shortest] = (out.float() - exact).abs().max().item()
    assert error[80] <= 2**-8 * exact.abs().max().item() < 2 * error[81]
    outside = causal_attention(*inputs, Kernels(None, None, blocks, 80))  # no autocast, no casts
    assert torch.equal(outside, F.scaled_dot_product_attention(*inputs, is_causal=True))


def test_layers_that_fsdp_has_wrapped_are_called():
    model = model_of(16, 12)
    assert isinstance(model, LlamaForCausalLM)

    class Wrapped(type(model.model.layers[0])):
        pass

    tokens, labels = torch.randint(0, 61, (2, 2, 12))
    expected = SummedLoss(model)(tokens, labels)
    model.model.layers[1].__class__ = Wrapped
    with mock.patch.object(Wrapped, "forward", autospec=True, side_effect=Wrapped.forward) as call:
        loss = SummedLoss(model)(tokens, labels)
    assert call.call_count == 1
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("rows", "d_in", "d_out"), [(8, 40, 56), (4096, 40, 56), (4096, 56, 40)])
@pytest.mark.parametrize(
    ("kernels", "smallest"),
    [(LIBRARY, None), (EARLIER, 3e6), (Kernels(0, 0), 0), (Kernels(0, None), 0)],
    ids=["library", "earlier", "oneDNN", "forward alone"],
)
def test_a_linear_map_has_the_gradients_of_pytorch(rows, d_in, d_out, kernels, smallest):
    """Both sides of the size from which oneDNN computes it, wider and narrower."""
    x, weight = torch.randn(rows, d_in), torch.randn(d_out, d_in)
    pairs = [(x.clone().requires_grad_(), weight.clone().requires_grad_()) for _ in range(2)]
    upstream = torch.randn(rows, d_out)
    results = [linear(*pairs[0], kernels), F.linear(*pairs[1])]
    large = smallest is not None and rows * weight.numel() >= smallest
    assert ("_Linear" in type(results[0].grad_fn).__name__) is (large and ONEDNN)
    for result in results:
        result.backward(upstream)
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)
    for ours, reference in zip(*pairs, strict=True):
        torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-4, atol=1e-3)


def test_without_the_private_operator_pytorch_multiplies(monkeypatch):
    monkeypatch.setattr("train.model.linear.ONEDNN", False)
    x, weight = torch.randn(8, 40, requires_grad=True), torch.randn(56, 40)
    product = linear(x, weight, Kernels(0, 0))
    assert "_Linear" not in type(product.grad_fn).__name__
    assert torch.equal(product, F.linear(x, weight))


@pytest.mark.parametrize("length", [256, 301])
def test_blocked_attention_has_the_gradients_of_pytorch(length):
    sets = [[torch.randn(2, 3, length, 8, generator=torch.Generator().manual_seed(n))
             .requires_grad_() for n in range(3)] for _ in range(2)]  # fmt: skip
    out = causal_attention(*sets[0], Kernels(blocks_from=256))
    assert "_Blocked" in str(out.grad_fn.next_functions)
    for kernels in (LIBRARY, Kernels(blocks_from=512)):
        assert "_Blocked" not in str(causal_attention(*sets[0], kernels).grad_fn.next_functions)
    reference = F.scaled_dot_product_attention(*sets[1], is_causal=True)
    torch.testing.assert_close(out, reference, rtol=1e-4, atol=1e-5)
    for result in (out, reference):
        result.square().sum().backward()
    for ours, theirs_ in zip(*sets, strict=True):
        torch.testing.assert_close(ours.grad, theirs_.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "qwen3", "olmo2"])
def test_a_traced_graph_is_given_the_rotation_and_does_not_compute_it(family):
    traced = []

    def keep(graph, inputs):
        traced.extend(getattr(node.target, "__name__", node.target) for node in graph.graph.nodes)
        return graph.forward

    module = SummedLoss(model_of(24, 20, family=family))
    tokens, labels = torch.randint(0, 61, (2, 3, 20)).unbind(0)
    torch.compiler.reset()
    compiled = torch.compile(module, backend=keep, dynamic=False)(tokens, labels)
    assert "scaled_dot_product_attention" in traced
    assert not {"sin", "cos", "arange"} & set(traced)
    assert compiled.item() == pytest.approx(theirs(module.model, tokens, labels).item(), rel=2e-6)
    assert not {"cosines", "sines"} & set(module.state_dict())


ROPE = {"rope_theta": 1e4, "rope_type": "linear", "factor": 4.0}
LLAMA3 = {
    "rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
WINDOW = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0, "head_dim": 12}


@pytest.mark.parametrize(
    ("config", "changes"),
    [(LlamaConfig, {"attention_bias": True}), (LlamaConfig, {"mlp_bias": True}),
     (LlamaConfig, {"head_dim": 16}), (LlamaConfig, {"hidden_act": "gelu"}),
     (LlamaConfig, {"rope_parameters": ROPE}), (LlamaConfig, {"rope_parameters": LLAMA3}),
     (LlamaConfig, {"attention_dropout": 0.5}), (Qwen3Config, {"head_dim": 16}),
     (Qwen3Config, WINDOW)],
)  # fmt: skip
def test_what_the_fast_forward_leaves_out_goes_through_the_models_own(config, changes):
    """As `family=hf` and `init_from=` may ask for: the loss is that of the model that is saved."""
    shape = {
        "vocab_size": 61, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 32,
        "head_dim": 12,
    }  # fmt: skip
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_config(config(**shape))
    model = AutoModelForCausalLM.from_config(config(**(shape | changes)))
    assert is_plain(plain) and not is_plain(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    tokens, labels = torch.randint(0, 61, (2, 3, 32)).unbind(0)
    ours = SummedLoss(model.eval())(tokens, labels)
    assert ours.item() == pytest.approx(theirs(model, tokens, labels).item(), rel=2e-6)


def test_a_gpt2_with_dropout_is_not_plain():
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 11}
    usual = AutoModelForCausalLM.from_config(GPT2Config(**sizes))  # drops a tenth
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    without = AutoModelForCausalLM.from_config(GPT2Config(**sizes, **none))
    assert is_plain(without) and not is_plain(usual)
