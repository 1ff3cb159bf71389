"""What `action=design` prints and writes: cost against precision, and the best sweep's preset."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from analysis.surface import FitError, Surface
from analysis.truth import TRUTHS
from sweeps.config import SweepConfig
from sweeps.design import (
    OTHER_COSTS,
    Candidate,
    DesignError,
    Trial,
    search,
    tightest,
    tried,
    varied,
)
from sweeps.facts import FactsOnHand
from sweeps.grid import Expansion, expand, short_number
from sweeps.layout import DesignSpec, Ground, Ladder, Limits
from sweeps.preset import preset_text
from sweeps.simulate import DEFAULT_SURFACE, named_truth
from sweeps.spec import SweepSpec
from sweeps.store import relative_to_cwd
from train.record import write_atomic

SHOWN = 12
"""Unlike candidates in the table."""


@dataclass(frozen=True, eq=False)
class Tried:
    """A candidate as a real sweep, and how the approaches fared on its simulated replicates."""

    candidate: Candidate
    sweep: SweepSpec
    expansion: Expansion
    trials: list[Trial]


@dataclass(frozen=True, eq=False)
class Designed:
    """The outcome of a search: candidates by the asked cost, the tried ones, best first, and the
    best candidate of other costs (None where there is none).
    """

    candidates: list[Candidate]
    tried: list[Tried]
    other_costs: dict[float, Candidate | None]
    surface: str
    noise: float

    @property
    def best(self) -> Tried:
        return self.tried[0]


def design(config: SweepConfig, console: Console) -> None:
    """Search, write the best sweep's preset, print the tables and its path.

    Raises:  DesignError: see `designed`.
    """
    made = designed(config)
    path = Path(config.out) if config.out else Path("results") / "designs" / f"{_name(config)}.yaml"
    write_atomic(path, preset(made, config, path))
    if config.format == "json":
        print(json.dumps(design_json(made, path)))
        return
    print_design(made, config, console)
    shown = relative_to_cwd(path.absolute())
    print(f"launch it: python -m sweeps preset={shown}  (or first action=plan, launcher=simulate)")
    print(shown)


def designed(config: SweepConfig) -> Designed:
    """The search that a configuration asks for; nothing is printed or written.

    Raises:  DesignError: no budget, a surface of another form, nothing that can be laid out, or
             designs on which no approach converges.
    """
    if config.budget is None:
        raise DesignError(
            "action=design needs what all runs may cost: budget=FLOPs, as budget=1e20"
        )
    asked = config.design
    name = config.sweep.surface or DEFAULT_SURFACE
    surface, measured = named_truth(name)
    if not isinstance(surface, Surface):
        known = [k for k, truth in TRUTHS.items() if isinstance(truth, Surface)]
        raise DesignError(
            f"sweep.surface={name} is not of the form E + A/N^alpha + B/D^beta that precision is "
            f"reckoned for; expected {', '.join(known)}, or a fitted sweep or its fits.json"
        )
    noise = measured if config.sweep.noise is None else config.sweep.noise
    facts = FactsOnHand(config)
    ground = _ground(config, surface, facts)
    candidates = search(asked, config.budget, ground, noise)
    rng = np.random.default_rng(0)
    finalists = [_try(c, config, surface, noise, facts, rng) for c in candidates[: asked.best]]
    finalists.sort(key=lambda made: tightest(made.trials, asked.by))
    if not np.isfinite(tightest(finalists[0].trials, asked.by)):
        raise DesignError(
            f"no approach converges on any of the best {len(finalists)} designs; raise budget="
            f"{config.budget:g}, or lower sweep.noise={noise:g}"
        )
    others = {
        factor: _best_at(factor * config.budget, asked, ground, noise) for factor in OTHER_COSTS
    }
    return Designed(candidates, finalists, others, name, noise)


def sweep_of(candidate: Candidate, config: SweepConfig) -> SweepSpec:
    """A candidate as a sweep that can be launched."""
    choice = candidate.layout.choice
    return SweepSpec(
        name=_name(config),
        seeds=list(range(choice.seeds)),
        bounds=config.sweep.bounds,
        grids=candidate.layout.grids,
    )


def preset(made: Designed, config: SweepConfig, path: Path) -> str:
    """The best sweep on the configuration's own model, data and optimiser, as a preset's text."""
    best = made.best
    comments = [
        f"Designed by python -m sweeps action=design budget={short_number(config.budget or 0)} for "
        f"the tightest {config.design.by}",
        f"on the surface {made.surface} with a seed noise of {made.noise:g} in log L: "
        f"{_summary(best, config.design.by)}.",
        f"  python -m sweeps preset={relative_to_cwd(path.absolute())} action=plan",
    ]
    return preset_text(replace(config, sweep=best.sweep, out=None), comments)


def print_design(made: Designed, config: SweepConfig, console: Console) -> None:
    """Both tables, the tried designs and the best one."""
    title = (
        f"half-widths of 95 % intervals at {short_number(config.budget or 0)} FLOPs in all, on "
        f"{made.surface} with noise {made.noise:g}"
    )
    console.print(_candidate_table(varied(made.candidates, SHOWN), title))
    print(f"{len(made.candidates)} candidates in all; the best of each kind are shown")
    shown = sorted([*made.other_costs.items(), (1.0, made.candidates[0])])
    rows = [candidate for _, candidate in shown if candidate is not None]
    console.print(_candidate_table(rows, "what another cost would buy (the best design of each)"))
    for factor, candidate in shown:
        if candidate is None:
            cost = short_number(factor * (config.budget or 0))
            print(f"at {cost} FLOPs no design fits the ladder of shapes, the data or the bounds")
    console.print(_trial_table(made.tried, config.design))
    for tried_one in made.tried:
        for cell in tried_one.expansion.dropped[:SHOWN]:
            console.print(f"dropped: {cell.name}: {cell.reason}", markup=False, soft_wrap=True)
    print(f"best: {_summary(made.best, config.design.by)}")


def design_json(made: Designed, path: Path) -> dict[str, Any]:
    """The outcome as plain values, for format=json."""
    return {
        "surface": made.surface,
        "noise": made.noise,
        "preset": str(path),
        "candidates": [_candidate_json(c) for c in varied(made.candidates, SHOWN)],
        "other_costs": [
            {"factor": factor, **_candidate_json(c)}
            for factor, c in made.other_costs.items()
            if c is not None
        ],
        "tried": [
            {**_candidate_json(t.candidate), "trials": [asdict(trial) for trial in t.trials]}
            for t in made.tried
        ],
    }


def _ground(config: SweepConfig, surface: Surface, facts: FactsOnHand) -> Ground:
    known = facts(config.data, config.model.seq_len)
    template = replace(config.model, vocab_size=config.model.vocab_size or known.vocab_size)
    bounds = config.sweep.bounds
    epochs = min(config.data.max_epochs, bounds.max_epochs or np.inf)
    total = sum(part.weight for part in config.data.parts.values())
    held = [
        n_tokens * epochs * total / config.data.parts[name].weight
        for name, n_tokens in known.n_train_tokens.items()
        if n_tokens is not None
    ]
    limits = Limits(
        min(held, default=None), bounds.min_tokens_per_param, bounds.max_tokens_per_param
    )
    return Ground(surface, Ladder.of(template), limits)


def _try(
    candidate: Candidate,
    config: SweepConfig,
    surface: Surface,
    noise: float,
    facts: FactsOnHand,
    rng: np.random.Generator,
) -> Tried:
    sweep = sweep_of(candidate, config)
    expansion = expand(sweep, config.base, facts, config.run_settings, config.tracker)
    trials = tried(expansion.runs, surface, noise, config.design.replicates, rng)
    return Tried(candidate, sweep, expansion, trials)


def _best_at(total: float, asked: DesignSpec, ground: Ground, noise: float) -> Candidate | None:
    try:
        return search(asked, total, ground, noise)[0]
    except (DesignError, FitError):
        return None


def _name(config: SweepConfig) -> str:
    return f"design-{short_number(config.budget or 0)}"


def _candidate_table(candidates: list[Candidate], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("kind", "layout", "seeds", "runs", "cells cost", "cost", "± a", "± b", "± E"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for candidate in candidates:
        layout, choice, expected = candidate.layout, candidate.layout.choice, candidate.expected
        low, high = layout.flops.min(), layout.flops.max()
        table.add_row(
            choice.kind,
            f"{choice.n_budgets} x {choice.n_sizes}",
            str(choice.seeds),
            str(layout.n_runs),
            f"{short_number(low)} to {short_number(high)}",
            short_number(layout.cost),
            *(f"{getattr(expected, name):.3g}" for name in ("a", "b", "E")),
        )
    return table


def _trial_table(made: list[Tried], asked: DesignSpec) -> Table:
    table = Table(
        title=f"the best by information, simulated {asked.replicates} times (tightest first)",
        title_justify="left",
    )
    headings = ("layout", "seeds", "runs", "approach", "converged", "± a", "bias", "± E", "bias")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "layout" else "right")
    for one in made:
        choice = one.candidate.layout.choice
        for trial in one.trials:
            cells = []
            for name in ("a", "E"):
                spread = trial.spreads.get(name)
                cells += ["–", "–"] if spread is None else [
                    f"{spread.half_width:.3g}", f"{spread.bias:+.2g}"
                ]  # fmt: skip
            table.add_row(
                f"{choice.kind} {choice.n_budgets} x {choice.n_sizes}",
                str(choice.seeds),
                str(len(one.expansion.runs)),
                trial.approach,
                f"{trial.n_converged} of {trial.n_replicates}",
                *cells,
            )
    return table


def _summary(best: Tried, quantity: str) -> str:
    layout, choice = best.candidate.layout, best.candidate.layout.choice
    cost = sum(run.flops for run in best.expansion.runs)
    return (
        f"{choice.kind} {choice.n_budgets} x {choice.n_sizes}, {choice.seeds} seeds, "
        f"{len(best.expansion.runs)} runs, {short_number(cost)} FLOPs; {quantity} to within "
        f"{tightest(best.trials, quantity):.3g} simulated, "
        f"{getattr(best.candidate.expected, quantity):.3g} by information"
        + (f" ({len(best.expansion.dropped)} cells dropped)" if best.expansion.dropped else "")
        + ("" if layout.n_runs == len(best.expansion.runs) else f", {layout.n_runs} runs laid out")
    )


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    layout = candidate.layout
    return {
        **asdict(layout.choice),
        "n_runs": layout.n_runs,
        "cost": layout.cost,
        "half_width": asdict(candidate.expected),
    }
