"""`isoflop sweep propose`: the fitted sweep with the cells that its fits call for.

It is written as a preset into the sweep's own analysis folder: launching it trains the new cells
alone, since the others are done, and fitting the sweep again then uses all of them.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from analysis.stored_fits import StoredFits, read_fits
from sweeps.design.candidates import Ladder, Limits
from sweeps.design.next_runs import FittedRuns, Proposal, Proposals, propose
from sweeps.design.validate import FittedBase, fitted_base
from sweeps.plan.data_info import DataInfoCache
from sweeps.plan.expand import short_number
from sweeps.plan.plan import Plan, make_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import GridSpec
from sweeps.spec.preset import preset_text
from sweeps.spec.stored import stored_config
from train.commands.terminal import say
from train.config.spec import IsoflopError
from train.rundir.atomic import write_atomic
from train.rundir.sweep_layout import SweepPaths, relative_to_cwd

SHARE = 0.5
"""Without budget=, a proposal costs at most this share of what the fitted runs cost."""

_COLUMNS = ("d_model", "n_params", "n_tokens", "flops", "flops_budget", "seed", "loss")


class ProposalError(IsoflopError):
    """A fit from which nothing can be proposed to launch."""


@dataclass(frozen=True, eq=False)
class Proposed:
    """The proposals, the whole sweep that holds them, and its plan with what is done."""

    found: Proposals
    config: SweepConfig
    plan: Plan
    notes: list[str]


def next_runs(config: SweepConfig, console: Console) -> None:
    """Propose, write the preset beside the fits, print the table and its path.

    Raises:  ProposalError: see `proposed`.
    """
    root = Path(config.fit) if config.fit else config.root
    fit = read_fits(root)
    made = proposed(config, fit)
    path = fit.path.with_name("proposal.yaml")
    write_atomic(path, _preset(made, path))
    if config.format == "json":
        print(json.dumps(_json(made, path)))
        return
    print_proposal(made, console)
    shown = relative_to_cwd(path.absolute())
    print(f"launch it: isoflop sweep launch preset={shown}")
    print(shown)


def proposed(config: SweepConfig, fit: StoredFits) -> Proposed:
    """What a fit calls for, as a sweep that can be launched.

    Raises:  ProposalError: a foreign table, several sweeps, another counting, other data than the
             fitted runs' (unless `force`), or nothing to propose.
    """
    root = _own_sweep(fit)
    stored = stored_config(root)
    base = fitted_base(fit)
    runs, grid, notes = fitted_runs(root, fit)
    known = DataInfoCache(config)(base.spec.data, base.spec.model.seq_len)
    template = replace(base.spec.model, vocab_size=base.spec.model.vocab_size or known.vocab_size)
    theirs = stored.sweep.grids[grid]
    bounds = theirs.bounds or stored.sweep.bounds
    held = [n for n in known.n_train_tokens.values() if n is not None]
    limits = Limits(
        min(held) * base.spec.data.max_epochs if held else None,
        bounds.min_tokens_per_param,
        bounds.max_tokens_per_param,
    )
    found = propose(
        fit,
        runs,
        Ladder.of(template),
        limits,
        tuple(theirs.seeds or stored.sweep.seeds),
        config.budget or float(f"{SHARE * runs.flops.sum():.2g}"),
        config.force,
    )
    if not found.made:
        raise ProposalError(
            f"nothing to run next for {fit.path}: "
            f"{'; '.join(found.left_out) or 'its minima are bracketed and known to a grid step'}"
        )
    grids = {**stored.sweep.grids, **_grids(found.made, theirs, set(stored.sweep.grids))}
    whole = replace(
        stored,
        sweep=replace(stored.sweep, grids=grids),
        out=relative_to_cwd(root.absolute()),
        calibrate=False,
    )
    plan = make_plan(replace(whole, action="plan"))
    _check_data(plan, base, config.force)
    dropped = [cell for cell in plan.expansion.dropped if cell.grid not in stored.sweep.grids]
    notes += [f"{cell.name} can't be run: {cell.reason}" for cell in dropped]
    return Proposed(found, whole, plan, notes)


def fitted_runs(root: Path, fits: StoredFits) -> tuple[FittedRuns, str, list[str]]:
    """The runs that a fit used, the grid that most of them are of, and what is odd about them.

    Raises:  ProposalError: no such runs.
    """
    table = pq.read_table(SweepPaths(root).table("runs"))
    rows = [
        row
        for row in table.select([*_COLUMNS, "run_id", "grid", "status"]).to_pylist()
        if row["status"] == "finished" and row["run_id"] not in fits.excluded_ids and row["loss"]
    ]
    if not rows:
        raise ProposalError(f"{root} has no finished run that its fits used; fit it again")
    notes = []
    if len(rows) != fits.n_runs:
        notes.append(
            f"{len(rows)} runs are finished and {fits.n_runs} are fitted; "
            f"isoflop analyze {root} fits them all"
        )
    columns = {name: np.array([_float(row[name]) for row in rows]) for name in _COLUMNS}
    budget = columns.pop("flops_budget")
    names = [row["grid"] for row in rows]
    return FittedRuns(**columns, budget=budget), max(sorted(set(names)), key=names.count), notes


def print_proposal(made: Proposed, console: Console) -> None:
    """The proposals with their reasons and costs, what was left out, and what it does to a."""
    table = Table(title=f"what to run next in {made.config.out}", title_justify="left")
    for heading in ("why", "budget", "widths", "seeds", "FLOPs", "reason"):
        table.add_column(heading, justify="right" if heading in ("budget", "FLOPs") else "left")
    for proposal in made.found.made:
        table.add_row(
            proposal.kind,
            short_number(proposal.budget),
            ", ".join(map(str, proposal.d_models)),
            ", ".join(map(str, proposal.seeds)),
            short_number(proposal.flops),
            proposal.reason,
        )
    console.print(table)
    for line in [*made.found.left_out, *made.notes]:
        say(f"note: {line}")
    new = _new_runs(made)
    print(
        f"{len(new)} new runs, {short_number(sum(run.flops for run in new))} FLOPs, "
        f"beside {len(made.plan.runs) - len(new)} that are done"
    )
    if np.isfinite(made.found.before):
        print(
            f"half-width of a by information: {made.found.before:.3g} now, "
            f"{made.found.after:.3g} with these runs"
        )


def _own_sweep(fit: StoredFits) -> Path:
    """The one sweep that a fit is of.

    Raises:  ProposalError: none, or several; or N counted otherwise than shapes are chosen.
    """
    sources = ", ".join(fit.sources)
    if not fit.sweeps:
        raise ProposalError(
            f"{fit.path} was fitted to {sources}, which holds no specs: it can be fitted and "
            f"predicted from, but no run of it can be launched"
        )
    root, *others = fit.sweeps
    if others:
        raise ProposalError(
            f"{fit.path} was fitted to {len(fit.sweeps)} sweeps ({sources}); fit one of them alone "
            f"to propose runs for it"
        )
    if fit.counting != "exact":
        raise ProposalError(
            f"the fit counts N as {fit.counting} and shapes are chosen by the exact "
            f"count; fit again with counting=exact"
        )
    return root


def _grids(made: list[Proposal], theirs: GridSpec, taken: set[str]) -> dict[str, GridSpec]:
    """A grid a proposal, on the base and within the bounds of the grid that was fitted."""
    grids: dict[str, GridSpec] = {}
    for proposal in made:
        stem = f"{proposal.kind}-{short_number(proposal.budget)}"
        names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
        name = next(name for name in names if name not in taken and name not in grids)
        grids[name] = GridSpec(
            kind="isoflop",
            budgets=[proposal.budget],
            d_models=list(proposal.d_models),
            seeds=list(proposal.seeds),
            bounds=theirs.bounds,
            base=theirs.base,
        )
    return grids


def _check_data(plan: Plan, base: FittedBase, force: bool) -> None:
    got = {str(run.job.spec.data.fingerprint) for run in plan.runs}
    if base.fingerprint not in got and not force:
        raise ProposalError(
            f"the fitted runs' data is {base.fingerprint} and here it is {', '.join(sorted(got))} "
            f"(another version of the source?), so new losses would not compare; propose where the "
            f"fit was made, or pass force=true"
        )


def _new_runs(made: Proposed) -> list:
    return [run for run in made.plan.runs if made.plan.statuses[run.run_id] != "finished"]


def _preset(made: Proposed, path: Path) -> str:
    reasons = [f"{p.kind} at {short_number(p.budget)}: {p.reason}" for p in made.found.made]
    comments = [
        f"{made.config.sweep.name} and what to run next in it; only the new cells are trained:",
        f"  isoflop sweep launch preset={relative_to_cwd(path.absolute())}",
        *reasons,
    ]
    return preset_text(made.config, comments)


def _json(made: Proposed, path: Path) -> dict[str, Any]:
    return {
        "preset": str(path),
        "proposals": [{**asdict(p), "flops": p.flops} for p in made.found.made],
        "left_out": made.found.left_out,
        "notes": made.notes,
        "half_width_a": [
            value if np.isfinite(value) else None for value in (made.found.before, made.found.after)
        ],
        "n_new_runs": len(_new_runs(made)),
    }


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)
