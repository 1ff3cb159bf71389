"""From a fit to the sweep that tests it: optimum and alternative, trained beyond the fitted runs.

All that decides a run's numbers comes from the fitted sweep (`sweep.yaml` in its directory), so
that losses compare; what is predicted is written to `validation.json` before anything is trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from analysis.stored_fits import StoredFits, read_fits
from sweeps.design.predict import Prediction, PredictionError, predict
from sweeps.plan.plan import Plan, make_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import BASE_PARTS, GridSpec
from sweeps.spec.heads import is_open
from sweeps.spec.stored import stored_config
from train.config.decode import merge
from train.config.spec import IsoflopError, RunSpec
from train.rundir.atomic import read_json, write_json
from train.rundir.record import RunPaths
from train.rundir.sweep_layout import SweepPaths, prepare, run_dirs


@dataclass(frozen=True)
class FittedBase:
    """What the fitted runs had in common: the run that each started from, and their data."""

    spec: RunSpec
    fingerprint: str


@dataclass(frozen=True)
class ValidationSweep:
    """A prediction and the sweep of two cells that tests it."""

    fit: StoredFits
    prediction: Prediction
    config: SweepConfig
    base: FittedBase


def from_fit(config: SweepConfig, overrides: Sequence[str], console: Console) -> SweepConfig | None:
    """The configuration with the grids and the base that follow from its fit, which is announced.

    Launching leaves validation.json behind, before anything is trained. None where a plan was asked
    of a foreign table's fit: its prediction is all there is.
    Raises:  PredictionError: see `predicted_by_fit`, `validation_sweep` and `check_cells`.
    """
    fit, prediction = predicted_by_fit(config)
    if config.format != "json":
        for line in prediction_lines(prediction, fit):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if config.action == "plan" and not fit.sweeps:
        console.print("fitted to a foreign table: no specs to plan or launch by", highlight=False)
        return None
    test = validation_sweep(config, overrides, fit, prediction)
    check_cells(make_plan(test.config), test)
    if config.action == "launch" and not config.launcher.dry_run:
        _require_same_world(config, fit)
        _require_unanswered(config.root, prediction)
        prepare(config.root)
        write_prediction(config.root, test)
    return test.config


def predicted_by_fit(config: SweepConfig) -> tuple[StoredFits, Prediction]:
    """The fit that a configuration names and what it predicts.

    Raises:  PredictionError: no fit named, none there, or one that can't be asked.
    """
    if config.fit is None:
        raise PredictionError(
            "validate needs the fit to test: the directory of a fitted sweep, for example "
            "isoflop sweep validate results/demo"
        )
    if config.validate is None:
        raise PredictionError(
            f"fit={config.fit} belongs to preset=validate, which gives the test a directory and "
            f"seeds of its own; write isoflop sweep validate {config.fit}"
        )
    fit = read_fits(Path(config.fit))
    return fit, predict(fit, config.validate, config.force)


def validation_sweep(
    config: SweepConfig, overrides: Sequence[str], fit: StoredFits, prediction: Prediction
) -> ValidationSweep:
    """The sweep of cells that tests a prediction, on the base of the fitted runs.

    Raises:  PredictionError: a foreign table, which has no specs to train by; a fit under another
             counting; overrides of what the fitted sweep decides.
    """
    if not fit.sweeps:
        raise PredictionError(
            f"{fit.path} was fitted to {', '.join(fit.sources)}, which holds no specs "
            f"to train by: it can be predicted from (isoflop sweep plan), not launched"
        )
    if prediction.counting != "exact":
        raise PredictionError(
            f"the fit counts N as {prediction.counting} and shapes are chosen by the exact count; "
            f"fit again with counting=exact"
        )
    own = [override for override in overrides if _decided_by_the_fit(override)]
    if own:
        raise PredictionError(
            f"{', '.join(own)}: a validation trains as the fitted sweep did, which decides "
            f"{', '.join(BASE_PARTS)} and the grids; leave it out"
        )
    base = fitted_base(fit)
    grids = {
        choice.name: GridSpec(
            kind="isoflop", budgets=[prediction.flops], n_params=[choice.n_params]
        )
        for choice in prediction.choices
    }
    parts = {name: getattr(base.spec, name) for name in BASE_PARTS}
    # The fitted ladder's head size is in the base: two sizes of a test make no ladder of their own.
    sweep = replace(config.sweep, grids=grids, head_rule="width")
    made = replace(config, sweep=sweep, **parts)
    return ValidationSweep(fit, prediction, made, base)


def fitted_base(fit: StoredFits) -> FittedBase:
    """The base run that all fitted grids share, with their one head size where a rule set it.

    Raises:  PredictionError: they share none, or a sweep's files no longer say it.
    """
    excluded = fit.excluded_ids
    found: dict[str, RunSpec] = {}
    prints: set[str] = set()
    sizes: set[int] = set()
    for root in fit.sweeps:
        config = stored_config(root)
        for grid, fingerprint, head_size in _fitted_grids(root, excluded):
            if grid not in config.sweep.grids:
                raise PredictionError(
                    f"{root} has fitted runs of grid {grid!r}, which its sweep.yaml no longer "
                    f"describes; launch that grid again to write it again"
                )
            where = f"{root}: {grid}"
            found[where] = merge(config.base, config.sweep.grids[grid].base, where)
            prints.add(fingerprint)
            if config.sweep.head_rule == "ladder" and is_open(found[where].model):
                sizes.add(head_size)
    specs = list(found.values())
    if not specs or len(prints) != 1 or any(spec != specs[0] for spec in specs):
        raise PredictionError(
            f"the fitted grids share no one base to train by: {', '.join(found) or 'none found'}; "
            f"fit one of them alone (fit.grid=, fit.data=)"
        )
    spec = specs[0]
    if len(sizes) == 1:
        spec = replace(spec, model=replace(spec.model, head_dim=sizes.pop()))
    return FittedBase(spec, prints.pop())


def check_cells(plan: Plan, test: ValidationSweep) -> None:
    """Both cells can be trained, on the very data of the fitted runs.

    Raises:  PredictionError: a cell is dropped (most often more tokens than the data holds), or
             the data differs (unless `force`).
    """
    if plan.expansion.left_out:
        cell = plan.expansion.left_out[0]
        raise PredictionError(
            f"the {cell.grid} can't be trained: {cell.reason}; choose a smaller validate.budget, "
            f"or a source that holds more"
        )
    got = {str(run.job.spec.data.fingerprint) for run in plan.runs}
    if got != {test.base.fingerprint} and not test.config.force:
        raise PredictionError(
            f"the fitted runs' data is {test.base.fingerprint} and here it is {', '.join(got)} "
            f"(another version of the source?), so losses would not compare; train where the fit "
            f"was made, or pass force=true"
        )


def prediction_lines(prediction: Prediction, fit: StoredFits) -> list[str]:
    """What is predicted, in words for a terminal."""
    low, high = prediction.fitted
    lines = [
        f"{prediction.approach} fit of {fit.path} ({prediction.status}), at "
        f"{prediction.flops:.3g} FLOPs, {prediction.flops / high:.3g} times the largest fitted run:"
    ]
    for choice in prediction.choices:
        loss = "not predicted" if choice.loss is None else f"{choice.loss:.4f} (parametric)"
        lines.append(
            f"{choice.name:8} N {choice.n_params:.4g}  D {choice.n_tokens:.4g}  "
            f"D/N {choice.n_tokens / choice.n_params:.3g}  loss {loss}"
        )
    if prediction.interpolates:
        lines.append(
            f"note: this is interpolation: the fitted runs span {low:.3g} to {high:.3g} FLOPs; "
            f"raise validate.budget for a test of the law"
        )
    if prediction.forced:
        lines.append(f"note: the fit is {prediction.status}; used because of force=true")
    return lines


def write_prediction(root: Path, test: ValidationSweep) -> None:
    """validation.json: what is predicted, and from which fit."""
    content = {
        "fit": str(test.fit.path),
        "fit_sha256": test.fit.sha256,
        "sweeps": [str(path) for path in test.fit.sweeps],
        **asdict(test.prediction),
        "interpolates": test.prediction.interpolates,
    }
    write_json(SweepPaths(root).prediction, content)


def _require_same_world(config: SweepConfig, fit: StoredFits) -> None:
    """A fit of simulated losses predicts nothing of trained ones.

    Raises:  PredictionError: training is asked of a simulated sweep's fit.
    """
    drawn = [str(root) for root in fit.sweeps if SweepPaths(root).simulation.exists()]
    if drawn and config.launcher.kind != "simulate":
        raise PredictionError(
            f"{', '.join(drawn)} was simulated, and training would test its surface, not a fit; "
            f"use launcher=simulate with the same sweep.surface"
        )


def _require_unanswered(root: Path, prediction: Prediction) -> None:
    """What was predicted stays as it was once runs have begun to answer it.

    Raises:  PredictionError: a directory that tests another prediction and has finished runs.
    """
    if not SweepPaths(root).prediction.exists() or not SweepPaths(root).runs.is_dir():
        return
    before = read_json(SweepPaths(root).prediction)
    then, now = before["optimum"]["n_params"], prediction.optimum.n_params
    same = before["flops"] == prediction.flops and abs(then / now - 1) < 1e-6
    if not same and any(RunPaths(run_dir).record.exists() for run_dir in run_dirs(root)):
        raise PredictionError(
            f"{root} tests N = {then:.4g} at {before['flops']:.3g} FLOPs and has finished runs; "
            f"this fit predicts N = {now:.4g} at {prediction.flops:.3g}: test it in another "
            f"out=DIR, so that no prediction is made after its answer"
        )


def _decided_by_the_fit(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    theirs = ("sweep.grids", "sweep.head_rule")
    return key == "sweep" or key.split(".")[0] in BASE_PARTS or key.startswith(theirs)


def _fitted_grids(root: Path, excluded: set[str]) -> set[tuple[str, str, int]]:
    """(grid, data fingerprint, head size) of a sweep's finished runs that a fit did not exclude."""
    found = set()
    for run_dir in run_dirs(root):
        try:
            content = read_json(RunPaths(run_dir).spec)
            run_id, grid = content["run_id"], content["grid"]
            fingerprint = content["spec"]["data"]["fingerprint"]
            model = content["spec"]["model"]
            head_size = model["d_model"] // model["n_heads"]
        except (IsoflopError, KeyError, TypeError):
            continue  # not a run that could have been fitted
        if run_id not in excluded and RunPaths(run_dir).record.exists():
            found.add((grid, fingerprint, head_size))
    return found
