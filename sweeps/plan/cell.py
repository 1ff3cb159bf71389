"""A cell of a grid: the run that it asks for, resolved, or the reason why it is not trained."""

from dataclasses import dataclass, field
from typing import Any

from sweeps.spec.grids import Bounds
from train.config.flops import count_params, flops_per_token
from train.config.resolve import DataInfo, epochs_by_part, resolve
from train.config.run_config import RunConfig
from train.config.spec import RunSpec, SpecError, known


@dataclass(frozen=True)
class GridCell:
    """One shape and horizon of a grid, before its seeds; `horizon` is as the grid gives it.

    `name` is shared by the cells that differ in `settings`, the values of the grid's axes, alone.
    """

    job: RunConfig
    facts: DataInfo
    horizon: tuple[str, float]
    name: str = ""
    settings: dict[str, float] = field(default_factory=dict)


def resolved(cell: GridCell, bounds: Bounds) -> RunSpec | str:
    """A cell's spec, or why it is dropped."""
    try:
        spec = resolve(cell.job.spec, cell.facts)
    except SpecError as error:
        return str(error)
    return _out_of_bounds(spec, cell.facts, bounds) or spec


def cost(spec: RunSpec) -> tuple[int, int, float]:
    """Parameters, tokens and FLOPs of a resolved spec."""
    n_tokens = known(spec.n_steps, "n_steps") * known(spec.optim.batch_tokens, "batch_tokens")
    return (
        count_params(spec.model).n_params,
        n_tokens,
        float(n_tokens * flops_per_token(spec.model)),
    )


def _out_of_bounds(spec: RunSpec, facts: DataInfo, bounds: Bounds) -> str | None:
    """The first bound that a resolved cell breaks, as a sentence, or None."""
    n_params, n_tokens, flops = cost(spec)
    n_steps = known(spec.n_steps, "n_steps")
    ratio = n_tokens / n_params
    epochs = max(epochs_by_part(spec, facts, n_tokens).values())
    checks: list[tuple[str, str, Any, float | None, bool]] = [
        ("min_steps", "steps", n_steps, bounds.min_steps, True),
        ("max_steps", "steps", n_steps, bounds.max_steps, False),
        ("min_tokens_per_param", "tokens per parameter", ratio, bounds.min_tokens_per_param, True),
        ("max_tokens_per_param", "tokens per parameter", ratio, bounds.max_tokens_per_param, False),
        ("max_epochs", "epochs", epochs, bounds.max_epochs, False),
        ("max_flops", "FLOPs", flops, bounds.max_flops, False),
    ]
    for name, what, got, bound, at_least in checks:
        if bound is not None and (got < bound if at_least else got > bound):
            side = "under" if at_least else "over"
            return f"{got:.4g} {what} are {side} bounds.{name}={bound:g}"
    return None
