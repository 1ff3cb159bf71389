from dataclasses import replace

import pytest
import torch

from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec, OptimSpec, ScheduleSpec, SpecError
from train.data.dataset import describe
from train.model.build import build_model
from train.model.optimizer import build_optimizer, transfer_initial_weights
from train.model.parametrization import muon_transfer_of, transfer_of

OPTIM = OptimSpec(lr_peak=0.01, beta2=0.99, weight_decay=0.1)
SHAPE = complete_shape(ModelSpec(d_model=32, vocab_size=50, seq_len=16))


def test_two_groups_matrices_decay_and_vectors_do_not():
    model = build_model(SHAPE, seed=0)
    groups = build_optimizer(model, OPTIM, SHAPE, "cpu").param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert {p.ndim for p in groups[0]["params"]} == {2}
    assert {p.ndim for p in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert {group["lr_scale"] for group in groups} == {1.0}


def test_completep_is_standard_at_its_base_shape():
    base = replace(SHAPE, d_model=256, n_layers=2)
    for name in ("embed_tokens", "q_proj", "o_proj", "down_proj", "lm_head"):
        factors = transfer_of(name, 2, base, "completep")
        assert (factors.init, factors.lr, factors.decay) == (1, 1, 1)


def test_completep_factors_at_four_times_the_width_and_depth():
    shape = replace(SHAPE, d_model=1024, n_layers=8)
    hidden = transfer_of("layers.0.self_attn.q_proj.weight", 2, shape, "completep")
    branch_end = transfer_of("layers.0.mlp.down_proj.weight", 2, shape, "completep")
    embedding = transfer_of("embed_tokens.weight", 2, shape, "completep")
    assert (hidden.init, hidden.lr, hidden.decay) == (0.5, 0.25, 4)
    assert (branch_end.init, branch_end.lr, branch_end.decay) == (0.125, 0.0625, 16)
    assert (embedding.init, embedding.lr, embedding.decay) == (1, 1, 1)


def test_folding_a_factor_into_a_weight_is_the_same_training():
    """y = c (W x) with W learning at lr equals y = V x with V = c W learning at c lr, decay / c."""
    c, lr, decay, x = 0.25, 0.05, 0.1, torch.tensor([1.0, -2.0])
    start = torch.tensor([[0.3, 0.7]])
    outputs = []
    for factor, first in ((c, start), (1.0, start * c)):
        weight = torch.nn.Parameter(first.clone())
        scale = 1.0 if factor == c else c
        optimizer = torch.optim.AdamW(
            [weight], lr=lr * scale, weight_decay=decay / scale, eps=1e-12
        )
        for _ in range(20):
            optimizer.zero_grad()
            (factor * (weight @ x) - 3.0).square().sum().backward()
            optimizer.step()
        outputs.append((factor * (weight @ x)).item())
    assert outputs[0] == pytest.approx(outputs[1], rel=1e-5)


def test_completep_scales_initial_weights():
    optim = replace(OPTIM, parametrization="completep")
    plain, scaled = build_model(SHAPE, seed=0), build_model(SHAPE, seed=0)
    transfer_initial_weights(scaled, optim, SHAPE)
    ratio = {
        name: (q / p).median().item()
        for (name, p), q in zip(plain.named_parameters(), scaled.parameters(), strict=True)
        if p.ndim == 2
    }
    assert ratio["model.layers.0.self_attn.q_proj.weight"] == pytest.approx(8**0.5)
    assert ratio["model.embed_tokens.weight"] == 1
    assert ratio["lm_head.weight"] == pytest.approx(8)


def test_a_fixed_horizon_leaves_a_short_run_at_a_high_rate(tiny_job: RunConfig):
    """Kaplan's mismatch: a cosine planned for ten times the tokens has hardly decayed."""
    n_tokens = tiny_job.spec.horizon.n_tokens
    mismatched = replace(
        tiny_job.spec, schedule=ScheduleSpec(warmup_tokens=0, horizon_tokens=10 * n_tokens)
    )
    matched = replace(tiny_job.spec, schedule=ScheduleSpec(warmup_tokens=0))
    peak = tiny_job.spec.optim.lr_peak
    assert matched.learning_rate(39) < 0.11 * peak
    assert mismatched.learning_rate(39) > 0.95 * peak


MUON = OptimSpec(optimizer="muon", lr_peak=0.01, lr_matrices=0.01, beta2=0.99, weight_decay=0.1)


def test_muon_takes_the_matrices_of_layers_and_adamw_the_rest():
    model = build_model(SHAPE, seed=0)
    optimizer = build_optimizer(model, MUON, SHAPE, "cpu")
    muon, adamw = optimizer.parts
    matrices = {p for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2}
    assert {p for group in muon.param_groups for p in group["params"]} == matrices
    n_rest = sum(len(group["params"]) for group in adamw.param_groups)
    assert n_rest + len(matrices) == len(list(model.parameters()))


def test_muon_steps_as_two_optimisers_of_torch_would():
    ours, theirs = build_model(SHAPE, seed=0), build_model(SHAPE, seed=0)
    optimizer = build_optimizer(ours, MUON, SHAPE, "cpu")
    named = list(theirs.named_parameters())
    hidden = [p for name, p in named if ".layers." in name and p.ndim == 2]
    outer = [p for name, p in named if ".layers." not in name and p.ndim == 2]
    vectors = [p for name, p in named if p.ndim == 1]
    references = [
        torch.optim.Muon(hidden, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(outer, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
        torch.optim.AdamW(vectors, lr=0.01, betas=(0.9, 0.99), weight_decay=0),
    ]
    tokens = torch.arange(32).reshape(2, 16)
    optimizer.load_state_dict(optimizer.state_dict())  # as Accelerate does
    for model, steps in ((ours, [optimizer]), (theirs, references)):
        model(input_ids=tokens, labels=tokens).loss.backward()
        for step in steps:
            for group in step.param_groups:
                group["lr"] = 0.005
            step.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_muons_rate_follows_width_by_its_scale_and_decay_stays_with_the_rate():
    wide = replace(SHAPE, d_model=1024, n_layers=8)
    moved = replace(MUON, parametrization="completep")
    original = replace(moved, muon_scale="original", lr_matrices=0.02)
    name, size = "layers.0.self_attn.q_proj.weight", (1024, 1024)
    like_adamw = muon_transfer_of(name, size, wide, moved)
    spectral = muon_transfer_of(name, size, wide, original)
    assert (like_adamw.lr, like_adamw.decay) == (0.25, 4)
    assert (spectral.lr, spectral.decay) == (2.0, 1)  # 0.02 over lr_peak, at any width
    end = muon_transfer_of("layers.0.mlp.down_proj.weight", size, wide, original)
    assert (end.lr, end.decay) == (0.5, 4)


def test_matrices_that_gpt2_stores_turned_get_the_scale_of_their_true_rows():
    """c_fc maps d to 4 d: sqrt(4), though its stored shape is (d, 4 d), for which torch takes 1."""
    original = replace(MUON, muon_scale="original", lr_matrices=0.01)
    wide = muon_transfer_of("transformer.h.0.mlp.c_fc.weight", (32, 128), SHAPE, original, True)
    narrow = muon_transfer_of("transformer.h.0.mlp.c_proj.weight", (128, 32), SHAPE, original, True)
    assert (wide.lr, narrow.lr) == (2.0, 0.5)


def test_settings_of_muon_are_no_settings_of_adamw():
    with pytest.raises(SpecError, match=r"lr_matrices=0\.1 has no meaning for optim\.optimizer"):
        OptimSpec(lr_matrices=0.1)


@pytest.mark.parametrize(("scale", "rate"), [("match_rms_adamw", 3e-3), ("original", 0.02)])
def test_the_published_rate_of_matrices_is_filled_in(tiny_job: RunConfig, scale, rate):
    optim = OptimSpec(optimizer="muon", muon_scale=scale, lr_peak=3e-3, batch_tokens=128)
    spec = replace(tiny_job.spec, optim=optim, n_steps=None)
    assert resolve(spec, describe(spec.data, 32)).optim.lr_matrices == rate
