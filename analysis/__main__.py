"""Front door: fit a sweep's runs or any table of runs, write fits.json, figures and the report."""

import hashlib
import re
import shlex
import sys
from pathlib import Path

from analysis.allocation import Advice, allocate
from analysis.config import AnalysisConfig
from analysis.contents import Material, parts
from analysis.emergence_scores import is_score_table, report_scores
from analysis.publish import write_report
from analysis.report import Report
from analysis.results import fits_json, standard_errors
from analysis.runbook import run_book
from analysis.sources import read_file, read_sweeps
from analysis.study import Study, run_study
from analysis.style import number
from analysis.summary import caveats, decision
from analysis.table import LossTable, select
from analysis.validation_data import to_fit
from train.record import write_json
from train.schema import front_door

DESCRIPTION = "Fit scaling laws to the runs of a sweep, or of any table, and write one report."


def analyse(config: AnalysisConfig, command: str) -> Path:
    """Read, fit and write everything that one configuration asks for; the path of the report."""
    directory = output_directory(config)
    everything, study, advice = fitted(config)
    book = run_book(everything, study.table)
    print_fits(study, advice)
    write_json(directory / "fits.json", fits_json(study, advice))
    report = Report(
        title=config.title
        or f"Scaling laws of {', '.join(Path(s).stem for s in everything.sources)}",
        decision=decision(study, advice),
        caveats=caveats(study),
        facts=facts(study),
        parts=parts(Material(config, everything, study, advice, directory, book)),
        command=command,
        book=book,
        provenance=provenance(study),
    )
    return write_report(report, directory)


def fitted(config: AnalysisConfig) -> tuple[LossTable, Study, list[Advice]]:
    """All runs that were read, the study of those that belong in one fit, and its advice."""
    everything = read(config)
    fit = config.fit
    table = select(everything, fit.data, fit.grid, fit.where, fit.drop_highest)
    study = run_study(table, fit, config.counting)
    return everything, study, allocate(study, config.allocation.flops, config.allocation.n_params)


def read(config: AnalysisConfig) -> LossTable:
    """The runs that a configuration names, unfiltered but clean."""
    if config.sweeps:
        return read_sweeps(to_fit([Path(sweep) for sweep in config.sweeps]))
    assert config.table.path is not None  # AnalysisConfig holds exactly one of the two
    path, columns = config.table.path, config.table.columns
    if path.startswith("wandb:"):
        from analysis.wandb_source import read_wandb

        project = path.removeprefix("wandb:")
        return read_wandb(project, columns, config.table.filters, Path(config.table.cache))
    return read_file(Path(path), columns)


def output_directory(config: AnalysisConfig) -> Path:
    """`out`, or analysis/ in the sweep's directory, or a directory named after the table."""
    if config.out:
        return Path(config.out)
    if len(config.sweeps) == 1:
        return Path(config.sweeps[0]) / "analysis"
    names = config.sweeps or [str(config.table.path)]
    stem = "+".join(re.sub(r"[^\w.-]+", "-", Path(name).stem) for name in names)
    return Path("results") / f"analysis-{stem}"


def facts(study: Study) -> list[tuple[str, str]]:
    """The few numbers under the decision."""
    shown = [
        ("runs fitted", f"{len(study.runs):,}"),
        ("excluded", f"{len(study.table.excluded):,}"),
    ]
    for name in ("envelope", "isoflop", "parametric"):
        fit = getattr(study, name)
        shown.append((f"a, {name}", number(fit.a) if fit is not None else "–"))
    if study.holdout is not None and study.holdout.predictions[0].rms is not None:
        shown.append(("left-out error", f"{100 * study.holdout.predictions[0].rms:.2g} %"))
    return shown


def provenance(study: Study) -> list[tuple[str, str]]:
    """Where the numbers come from: files with their digests, and how they were fitted."""
    shown = [("read from", _source(Path(source))) for source in study.table.sources]
    config = study.config
    return [
        *shown,
        ("procedure", f"{config.name}, delta {number(config.delta)}, valley {config.valley}"),
        ("counting", study.runs.counting),
        ("resamples", f"{study.n_resamples:,} over {config.resample}, seed {config.seed}"),
    ]


def _source(path: Path) -> str:
    """A source and the digest of its runs, so that a report can be told from one of other data."""
    file = path / "runs.parquet" if path.is_dir() else path
    if not file.is_file():
        return str(path)
    return f"{file}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


def print_fits(study: Study, advice: list[Advice]) -> None:
    """The main numbers as plain lines."""
    print(f"{len(study.runs)} runs fitted, {len(study.table.excluded)} excluded")
    for name in ("envelope", "isoflop", "parametric"):
        fit = getattr(study, name)
        if fit is None:
            print(f"{name:11}{study.missing.get(name, 'not asked for')}")
            continue
        low, high = study.intervals.get(name, {}).get("a", (float("nan"), float("nan")))
        exponents = f"a {fit.a:.6g} [{low:.4g}, {high:.4g}]  b {fit.b:.6g}"
        print(f"{name:11}{exponents}  {fit.status} {fit.reason}")
    fit = study.parametric
    if fit is not None:
        values = "  ".join(f"{p} {getattr(fit, p):.6g}" for p in ("E", "A", "B", "alpha", "beta"))
        print(f"{'':11}{values}  objective {fit.objective:.10g}")
    if study.draws is not None:
        errors = "  ".join(f"{p} {e:.6g}" for p, e in standard_errors(study.draws).items())
        print(f"{'':11}standard errors of {study.n_resamples:,} resamples: {errors}")
    for note in caveats(study):
        print(f"note: {note}")
    print(decision(study, advice))


def rewritten(argument: str) -> str:
    """sweep= and table= as the keys they stand for; both are Hydra words of another meaning
    here.
    """
    key, equals, value = argument.partition("=")
    if not equals:
        return argument
    if key == "sweep":
        return f"sweeps={value}" if value.startswith("[") else f"sweeps=[{value}]"
    return f"table.path={value}" if key == "table" else argument


def main(config: AnalysisConfig, overrides: list[str]) -> int:
    command = shlex.join(["python", "-m", "analysis", *sys.argv[1:]])
    table = config.table
    if table.path is not None and is_score_table(Path(table.path), table.columns):
        directory = output_directory(config)
        path = Path(table.path)
        print(report_scores(path, table.columns, directory, config.title, command))
        return 0
    print(analyse(config, command))
    return 0


def run_command(arguments: list[str]) -> None:
    """The command line; exits with its status."""
    keys = [rewritten(argument) for argument in arguments]
    front_door("analysis", DESCRIPTION, "analysis", AnalysisConfig, main, keys)


if __name__ == "__main__":
    run_command(sys.argv[1:])
