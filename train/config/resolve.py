"""Fill in all that a spec leaves to be derived: shape, hyperparameters, steps, fingerprint."""

from dataclasses import dataclass, field, replace

from train.config.flops import count_params, flops_per_token, steps_for
from train.config.hyperparameters import (
    Hyperparameters,
    Scale,
    hyperparameters,
    power_of_two_sequences,
)
from train.config.parts.optim import MUON_RATES
from train.config.shapes import complete_shape
from train.config.spec import HorizonSpec, ModelSpec, OptimSpec, RunSpec, SpecError, known, require


@dataclass(frozen=True)
class DataInfo:
    """What a spec must know of its data: its identity, vocabulary, and training tokens on hand.

    `n_train_tokens` holds, per part, the tokens that exist without repetition; None is without end.
    `n_val_tokens` holds those that a run of this length of sequence is validated on, where known.
    """

    fingerprint: str
    vocab_size: int
    n_train_tokens: dict[str, int | None]
    n_val_tokens: dict[str, int] = field(default_factory=dict)


def resolve(spec: RunSpec, facts: DataInfo) -> RunSpec:
    """The same run with every None replaced by its value; resolving twice changes nothing.

    Raises:  SpecError: a shape that does not divide, a horizon under one step, a vocabulary that
             disagrees with the data's, or more epochs than `data.max_epochs`.
    """
    require(
        spec.precision != "auto",
        "precision=auto is not settled yet; set it for all runs, where this machine's is taken, or "
        "use precision=fp32 or bf16",
    )
    model = _with_vocabulary(spec.model, facts)
    model = complete_shape(model)
    n_tokens = _requested_tokens(spec.horizon, model)
    asked = hyperparameters(spec.optim.rule, _scale(model, n_tokens))
    batch_tokens = spec.optim.batch_tokens or power_of_two_sequences(
        asked.batch_tokens, model.seq_len, asked.batch_at_most
    )
    if batch_tokens % model.seq_len:
        below = batch_tokens - batch_tokens % model.seq_len
        raise SpecError(
            f"optim.batch_tokens={batch_tokens} is not a multiple of "
            f"model.seq_len={model.seq_len}; "
            f"use {max(below, model.seq_len)} or {below + model.seq_len}"
        )
    n_steps = steps_for(n_tokens, batch_tokens)
    rule = hyperparameters(spec.optim.rule, _scale(model, n_steps * batch_tokens))
    warmup = spec.schedule.warmup_tokens
    resolved = replace(
        spec,
        model=model,
        data=replace(spec.data, fingerprint=facts.fingerprint),
        optim=_filled(spec.optim, rule, batch_tokens),
        schedule=replace(
            spec.schedule,
            warmup_tokens=float(rule.warmup_tokens if warmup is None else warmup),
        ),
        horizon=HorizonSpec(n_tokens=float(n_steps * batch_tokens)),
        n_steps=n_steps,
    )
    _check_epochs(resolved, facts, n_steps * batch_tokens)
    return resolved


def epochs_by_part(spec: RunSpec, facts: DataInfo, n_tokens: int) -> dict[str, float]:
    """Passes over each part's training tokens: share * n_tokens / tokens on hand; 0 if endless."""
    total = sum(part.weight for part in spec.data.parts.values())
    return {
        name: 0.0 if (on_hand := facts.n_train_tokens[name]) is None
        else n_tokens * part.weight / total / on_hand
        for name, part in spec.data.parts.items()
    }  # fmt: skip


def _with_vocabulary(model: ModelSpec, facts: DataInfo) -> ModelSpec:
    if model.vocab_size is not None and model.vocab_size < facts.vocab_size:
        raise SpecError(
            f"model.vocab_size={model.vocab_size} is smaller than the tokenizer's "
            f"{facts.vocab_size} ids; leave it out, or use at least {facts.vocab_size}"
        )
    return replace(model, vocab_size=model.vocab_size or facts.vocab_size)


def _requested_tokens(horizon: HorizonSpec, model: ModelSpec) -> float:
    if horizon.n_tokens is not None:
        return horizon.n_tokens
    if horizon.flops is not None:
        return horizon.flops / flops_per_token(model)
    assert horizon.tokens_per_param is not None  # HorizonSpec holds exactly one of the three
    return horizon.tokens_per_param * count_params(model).n_params


def _scale(model: ModelSpec, n_tokens: float) -> Scale:
    n_params = count_params(model).n_params
    return Scale(n_params, n_tokens, model.d_model, known(model.n_layers, "model.n_layers"))


def _filled(optim: OptimSpec, rule: Hyperparameters, batch_tokens: int) -> OptimSpec:
    lr_peak = rule.lr_peak if optim.lr_peak is None else optim.lr_peak
    lr_matrices = optim.lr_matrices
    if optim.optimizer == "muon":
        lr_matrices = lr_matrices or MUON_RATES[optim.muon_scale] or lr_peak
    return replace(
        optim,
        lr_peak=lr_peak,
        lr_matrices=lr_matrices,
        batch_tokens=batch_tokens,
        weight_decay=rule.weight_decay if optim.weight_decay is None else optim.weight_decay,
        beta2=rule.beta2 if optim.beta2 is None else optim.beta2,
    )


def _check_epochs(spec: RunSpec, facts: DataInfo, n_tokens: int) -> None:
    for name, epochs in epochs_by_part(spec, facts, n_tokens).items():
        if epochs > spec.data.max_epochs:
            raise SpecError(
                f"{n_tokens} tokens are {epochs:.2f} epochs of data part {name!r} "
                f"({facts.n_train_tokens[name]} training tokens), over "
                f"data.max_epochs={spec.data.max_epochs:g}; "
                f"lower the horizon, add data, or raise data.max_epochs"
            )
