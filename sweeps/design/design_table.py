"""Output of `isoflop sweep design`: cost against precision, and the best sweep's preset."""

import json
import textwrap
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sweeps.design.design import DesignCandidate, DesignResult, design_name, designed
from sweeps.design.search import Candidate, tightest, varied
from sweeps.plan.expand import short_number
from sweeps.spec.config import SweepConfig
from sweeps.spec.design import DesignSpec
from sweeps.spec.preset import preset_text
from train.commands.terminal import say
from train.rundir.atomic import write_atomic
from train.rundir.sweep_layout import relative_to_cwd

SHOWN = 12
"""Unlike candidates in the table."""


def design(config: SweepConfig, console: Console) -> None:
    """Search, write the best sweep's preset, print the tables and its path.

    Raises:  DesignError: see `designed`.
    """
    made = designed(config)
    path = (
        Path(config.out)
        if config.out
        else Path("results") / "designs" / f"{design_name(config)}.yaml"
    )
    write_atomic(path, preset(made, config, path))
    if config.format == "json":
        print(json.dumps(design_json(made, path)))
        return
    print_design(made, config, console)
    shown = relative_to_cwd(path.absolute())
    print(f"launch it: isoflop sweep launch preset={shown}  (or plan first; or launcher=simulate)")
    print(shown)


def preset(made: DesignResult, config: SweepConfig, path: Path) -> str:
    """The best sweep on the configuration's own model, data and optimiser, as a preset's text."""
    best = made.best
    about = (
        f"DesignResult by isoflop sweep design budget={short_number(config.budget or 0)} for "
        f"the tightest {config.design.by} on the surface {made.surface} with a seed noise of "
        f"{made.noise:g} in log L: {_summary(best, config.design.by)}."
    )
    comments = [
        *textwrap.wrap(" ".join([about, *notes(made, config)]), 98),
        f"  isoflop sweep plan preset={relative_to_cwd(path.absolute())}",
    ]
    return preset_text(replace(config, sweep=best.sweep, out=None), comments)


def notes(made: DesignResult, config: SweepConfig) -> list[str]:
    """What stands in the way of launching the best design as it is."""
    if made.held_tokens is None:
        return []
    needed = max(run.n_tokens for run in made.best.expansion.runs)
    return [
        f"the data ({', '.join(config.data.parts)}) holds {made.held_tokens:.3g} tokens within "
        f"data.max_epochs={config.data.max_epochs:g}, and this design takes up to {needed:.3g} a "
        f"run: the plan drops such cells; design it with the data to be trained on (data=...)"
    ]


def print_design(made: DesignResult, config: SweepConfig, console: Console) -> None:
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
    for note in notes(made, config):
        say(f"note: {note}")


def design_json(made: DesignResult, path: Path) -> dict[str, Any]:
    """The outcome as plain values, for format=json."""
    return {
        "surface": made.surface,
        "noise": made.noise,
        "preset": str(path),
        "held_tokens": made.held_tokens,
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


def _trial_table(made: list[DesignCandidate], asked: DesignSpec) -> Table:
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


def _summary(best: DesignCandidate, quantity: str) -> str:
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
