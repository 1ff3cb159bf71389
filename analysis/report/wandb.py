"""A report mirrored to Weights & Biases: its figures, tables and numbers in one analysis run."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.data.wandb_reader import flattened
from analysis.report.report import Report
from train.config.run_config import TrackerSpec
from train.trackers.wandb_service import wandb_mode

WAIT_SECONDS = 60.0
"""How long W&B may take to accept the report's run, and again to upload its figures."""

log = logging.getLogger(__name__)


def mirror(
    report: Report, numbers: Mapping[str, Any], page: Path, tracker: TrackerSpec
) -> str | None:
    """Log a written report to a run of job type `analysis`; a line on where it went.

    None where no tracker was asked for, and where W&B failed: files are the record, so any failure
    is logged and nothing else. Other trackers hold curves of runs and take no reports.

    Args:    numbers: the content of fits.json; its scalars become the run's summary.
             page: report.html, with figures/ beside it.
    """
    others = [kind for kind in tracker.kinds if kind not in ("files", "wandb")]
    if tracker.mode == "disabled" or ("wandb" not in tracker.kinds and not others):
        return None
    if "wandb" not in tracker.kinds:
        return f"tracker={','.join(others)}: a report goes to W&B alone, and stays in files here"
    run: Any = None
    try:
        import wandb

        run = wandb.init(
            project=tracker.project,
            entity=tracker.entity,
            job_type="analysis",
            name=report.title,
            config={"command": report.command, **dict(report.provenance)},
            mode=wandb_mode(tracker.mode),  # type: ignore[arg-type]
            dir=str(page.parent),
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=WAIT_SECONDS,
                finish_timeout=WAIT_SECONDS,
                finish_timeout_raises=True,
            ),
        )
        run.log({
            **_figures(report, page.parent, wandb),
            **_tables(report, wandb),
            "report": wandb.Html(page.read_text(), inject=False),
        })  # fmt: skip
        run.summary.update(
            {"decision": " ".join([report.decision, *report.details]), **flattened(numbers)}
        )
        run.finish()
        return f"W&B: {run.dir if run.offline else run.url}"
    except Exception as error:  # of W&B, its network or its service
        log.warning("W&B has no copy of this report (%s: %s)", type(error).__name__, error)
        if run is not None:
            _abandon(run)
        return None


def _figures(report: Report, directory: Path, wandb: Any) -> dict[str, Any]:
    return {
        f"figures/{spec.name}": wandb.Image(
            str(directory / "figures" / f"{spec.name}.png"), caption=spec.caption
        )
        for section in report.sections
        for spec in section.figures
    }


def _tables(report: Report, wandb: Any) -> dict[str, Any]:
    """Tables by title; a W&B key may not hold what separates its folders."""
    return {
        f"tables/{table.title.replace('/', '|')}": wandb.Table(
            columns=_unique(table.columns), data=[list(row) for row in table.rows]
        )
        for section in report.sections
        for table in section.tables
    }


def _unique(columns: Sequence[str]) -> list[str]:
    """Column names of which none occurs twice: an interval is named after what it belongs to."""
    named: list[str] = []
    for i, column in enumerate(columns):
        name = f"{column} of {columns[i - 1]}" if i and columns.count(column) > 1 else column
        named.append(name if name and name not in named else f"{name} ({i + 1})".strip())
    return named


def _abandon(run: Any) -> None:
    try:
        run.finish(exit_code=1)
    except Exception as error:  # the first failure was logged; this one tells why it hangs on
        log.debug("W&B run could not be closed: %s", error)
