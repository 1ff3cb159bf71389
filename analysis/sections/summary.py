"""The report's first words and its last: what to train, what to know before believing it, and
where the numbers come from.
"""

import hashlib
from pathlib import Path

import numpy as np

from analysis.figures.style import count_span
from analysis.format import count_label, number, span
from analysis.studies.allocation import Advice, preferred
from analysis.studies.study import Study


def decision(study: Study, advice: list[Advice]) -> str:
    """What to train, in one sentence with its interval; or why the runs can't say."""
    approach = preferred(study)
    rows = [row for row in advice if row.approach == approach and not row.extrapolated]
    if approach is None or not rows:
        return (
            "These runs do not determine a compute-optimal size: no approach reached a trustworthy "
            "fit. The sections below say why, and which runs would help."
        )
    best = rows[-1]
    fit = getattr(study, approach)
    a = study.intervals.get(approach, {}).get("a")
    ratio = f"{number(best.tokens_per_param, 2)} tokens a parameter"
    within = (
        f" (95 % interval {count_span(best.n_interval)})" if np.isfinite(best.n_interval[0]) else ""
    )
    return (
        f"With {number(best.flops)} FLOPs, train {count_label(best.n_opt)} parameters{within} on "
        f"{count_label(best.d_opt)} tokens, {ratio}; as compute grows, N should grow as C to the "
        f"power {number(fit.a, 2)} ({span(a, 2)})."
    )


def caveats(study: Study) -> list[str]:
    """What a reader must know before believing the decision."""
    notes = list(study.table.warnings)
    a = {name: getattr(study, name).a for name in ("envelope", "isoflop", "parametric")
         if getattr(study, name) is not None and np.isfinite(getattr(study, name).a)}  # fmt: skip
    if len(a) > 1 and max(a.values()) - min(a.values()) > 0.1:
        notes.append(
            "The approaches disagree on the exponent of N: "
            + ", ".join(f"{name} {value:.2f}" for name, value in a.items())
        )
    for name, fit in (("parametric", study.parametric), ("isoflop", study.isoflop)):
        if fit is not None and fit.status != "converged":
            notes.append(f"The {name} fit is {fit.status}: {fit.reason}")
    if study.isoflop is not None and study.isoflop.curve != study.config.curve:
        notes.append(f"IsoFLOP profiles are not {study.config.curve}: {study.isoflop.reason}")
    if study.isoflop is not None:
        for profile in study.isoflop.profiles:
            sizes = " and ".join(count_label(n) for n in profile.propose)
            if not profile.bracketed:
                notes.append(
                    f"Budget {number(profile.flops)}: {profile.reason}; runs at N = {sizes} would "
                    f"bracket the minimum"
                )
            elif profile.thin:
                notes.append(
                    f"Budget {number(profile.flops)}: one size alone lies beyond the minimum; runs "
                    f"at N = {sizes} would hold that side"
                )
    flat = [name for name, p in study.profiles.items() if p.flat]
    if flat:
        notes.append(f"The runs do not bound {', '.join(flat)} on one side (flat profile)")
    return notes


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
        (
            "procedure",
            f"{config.name}, delta {number(config.delta)}, profiles {config.curve}",
        ),
        ("counting", study.runs.counting),
        ("resamples", f"{study.n_resamples:,} over {config.resample}, seed {config.seed}"),
    ]


def _source(path: Path) -> str:
    """A source and the digest of its runs, so that a report can be told from one of other data."""
    file = path / "runs.parquet" if path.is_dir() else path
    if not file.is_file():
        return str(path)
    return f"{file}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
