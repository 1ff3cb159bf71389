"""Logits behind a cache: ours for plain models, and every model for which its own have to do."""

from unittest import mock

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from eval.lm.extend import extend
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec
from train.model.build import build_model
from train.model.forward import hidden_states


def model_of(**changes) -> PreTrainedModel:
    shape = ModelSpec(**({"d_model": 24, "vocab_size": 61, "seq_len": 40, "n_layers": 2} | changes))
    model = build_model(complete_shape(shape), seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def in_parts(model: PreTrainedModel, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """Logits of every position, read in parts of these lengths."""
    found, cache = [], None
    with torch.inference_mode():
        for part in tokens.split(lengths, dim=1):
            logits, cache = extend(model, part, cache)
            found.append(logits)
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("lengths", [[20], [1] * 20, [7, 1, 5, 1, 1, 5], [1, 19]])
@pytest.mark.parametrize(
    "changes",
    [{}, {"tied": True}, {"n_heads": 4, "n_kv_heads": 2}, {"n_heads": 4, "n_kv_heads": 1},
     {"family": "qwen3", "n_heads": 4, "n_kv_heads": 2}, {"family": "olmo2"}, {"family": "gpt2"}],
)  # fmt: skip
def test_parts_have_the_logits_of_the_whole(changes, lengths) -> None:
    model, tokens = model_of(**changes), torch.randint(0, 61, (3, 20))
    with torch.inference_mode():
        whole = model(input_ids=tokens).logits
    torch.testing.assert_close(in_parts(model, tokens, lengths), whole, rtol=1e-4, atol=1e-4)


def test_the_last_position_alone_and_rows_that_leave() -> None:
    model, tokens = model_of(), torch.randint(0, 61, (3, 9))
    with torch.inference_mode():
        whole = model(input_ids=tokens).logits
        logits, cache = extend(model, tokens[:, :8], last=True)
        assert logits.shape == (3, 1, 61)
        cache.batch_select_indices(torch.tensor([2, 0]))
        behind, _ = extend(model, tokens[[2, 0], 8:], cache)
    torch.testing.assert_close(logits[:, 0], whole[:, 7], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(behind[:, 0], whole[[2, 0], 8], rtol=1e-4, atol=1e-4)


class Doubled(LlamaForCausalLM):
    """Code of its own, as of a checkpoint that brings some."""

    def forward(self, *args, **options):
        output = super().forward(*args, **options)
        output.logits = 2 * output.logits
        return output


def own_code() -> PreTrainedModel:
    plain = model_of()
    model = Doubled(plain.config)
    model.load_state_dict(plain.state_dict())
    return model.eval()


def hooked() -> PreTrainedModel:
    def negate(module, given, output):
        output.logits = -output.logits
        return output

    model = model_of()
    model.register_forward_hook(negate)
    return model


class LowRank(torch.nn.Linear):
    """An adapter: the weight that it wraps is not all that it computes."""

    def forward(self, x):
        return super().forward(x) + x.sum(-1, keepdim=True)


def adapted() -> PreTrainedModel:
    model = model_of()
    model.model.layers[1].self_attn.v_proj.__class__ = LowRank
    return model


def hooked_within() -> PreTrainedModel:
    model = model_of()
    model.model.layers[0].mlp.register_forward_hook(lambda module, given, output: 2 * output)
    return model


def unlike(**changes) -> PreTrainedModel:
    model = model_of()
    for name, value in changes.items():
        setattr(model.config, name, value)
    return model


@pytest.mark.parametrize(
    "made",
    [own_code, hooked, adapted, hooked_within, lambda: unlike(hidden_act="gelu"),
     lambda: model_of().bfloat16(), lambda: model_of(family="gpt2")],
    ids=["own code", "hook", "adapter", "hook within", "another activation", "bf16", "gpt2"],
)  # fmt: skip
def test_what_ours_leaves_out_is_the_models_own(made) -> None:
    model, tokens = made(), torch.randint(0, 61, (2, 6))
    with torch.inference_mode():
        expected = model(input_ids=tokens).logits.float()
        with mock.patch("eval.lm.extend.hidden_states") as ours:
            logits, _ = extend(model, tokens)
    assert not ours.called
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("family", ["llama", "qwen3", "olmo2"])
def test_a_plain_model_without_padding_takes_ours(family) -> None:
    model, tokens = model_of(family=family), torch.randint(0, 61, (2, 6))
    with (
        torch.inference_mode(),
        mock.patch("eval.lm.extend.hidden_states", side_effect=hidden_states) as ours,
    ):
        extend(model, tokens)
        assert ours.call_count == 1
        extend(model, tokens, mask=torch.ones(2, 6, dtype=torch.long))
    assert ours.call_count == 1


def test_a_model_that_was_asked_can_be_trained_in_the_same_process() -> None:
    model, tokens = model_of(d_model=28, n_heads=2), torch.randint(0, 61, (2, 16))
    with torch.inference_mode():
        extend(model, tokens)
    hidden_states(model, tokens).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.model.parameters())
