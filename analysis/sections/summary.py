"""What to know before believing a report's decision, and where its numbers come from."""

import hashlib
import itertools
from pathlib import Path

import numpy as np

from analysis.data.published.registry import PREFIX, find_table
from analysis.data.reading.columns import label_columns
from analysis.format import count_label, number
from analysis.stats.explained import explaining_column
from analysis.studies.approaches.fit_all import KINDS
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.approaches.objections import MOST_SCATTER
from analysis.studies.approaches.parametric import ParametricApproach
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fit_config import APPROACHES
from analysis.studies.study import Study
from train.rundir.sweep_layout import SweepPaths


def caveats(study: Study) -> list[str]:
    """What a reader must know before believing the decision."""
    notes = list(study.table.warnings)
    a = {name: fit.a for name, fit in study.deciding.items() if np.isfinite(fit.a)}
    if len(a) > 1 and max(a.values()) - min(a.values()) > 0.1:
        notes.append(
            "The approaches disagree on the exponent of N: "
            + ", ".join(f"{name} {value:.2f}" for name, value in a.items())
        )
    for name, fit in study.deciding.items():
        if fit.status != "converged":
            notes.append(f"The {name} fit is {fit.status}: {fit.reason}")
    notes += _quality_caveats(study)
    isoflop, parametric = study.find(IsoflopApproach), study.find(ParametricApproach)
    if isoflop is not None:
        # A fit that did not converge has said the same reason above.
        if isoflop.status == "converged" and isoflop.fit.curve != study.config.curve:
            notes.append(f"IsoFLOP profiles are not {study.config.curve}: {isoflop.fit.reason}")
        for profile in isoflop.fit.profiles:
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
    profiles = parametric.profiles if parametric is not None else {}
    flat = [name for name, profile in profiles.items() if profile.flat]
    if flat:
        notes.append(f"The runs do not bound {', '.join(flat)} on one side (flat profile)")
    return [*notes, *_head_caveats(study), *_repeated_caveats(study)]


def _heads(study: Study) -> dict[int, set[int]]:
    """Numbers of heads by width, of fitted runs that say both."""
    found: dict[int, set[int]] = {}
    columns = (study.table.numbers(name) for name in ("d_model", "n_heads"))
    for width, heads in zip(*columns, strict=True):
        if width > 0 and heads > 0:
            found.setdefault(int(width), set()).add(int(heads))
    return found


def _head_caveats(study: Study) -> list[str]:
    """Where the number of heads jumps along the ladder, which changes losses beside size."""
    heads = _heads(study)
    pairs = sorted((width, n) for width, counts in heads.items() for n in counts)
    falls = [(a, b) for a, b in itertools.pairwise(pairs) if b[1] < a[1]]
    if not falls or any(len(counts) > 1 for counts in heads.values()):
        return []
    return [
        "The number of heads jumps along the ladder ("
        + ", ".join(f"{a[1]} at width {a[0]} and {b[1]} at {b[0]}" for a, b in falls[:3])
        + "), a second cause of losses beside size: sweep.head_rule=ladder gives all one head size"
    ]


def _repeated_caveats(study: Study) -> list[str]:
    """What the runs on repeated data leave open, and who decides where there are any."""
    fit = study.find(RepeatedApproach)
    if fit is None:
        reason = study.missing.get(RepeatedApproach.name)
        return [] if reason is None else [f"No data-constrained law: {reason}"]
    notes = [
        f"The runs do not bound {name} {' and '.join(sides)} (flat profile): another {name} beyond "
        f"its interval's open end fits them as well"
        for name, sides in fit.unbounded.items()
    ]
    if fit.misfit > MOST_SCATTER:
        notes.append(
            f"The data-constrained law misses the runs on repeated data by {100 * fit.misfit:.2g} "
            f"% (rms): it knows no overfitting, so R_D is not to be trusted at the most epochs "
            f"that ran; the advice on new data does not rest on it"
        )
    return notes


CERTAIN_MISFIT = 0.001
"""P value of the lack-of-fit test below which a caveat is given; a thousand reports, one alarm."""

NOTABLE_SCATTER = 0.03
"""Rms of log residuals above which the scatter is a caveat: published fits leave .002 to .03."""


def _quality_caveats(study: Study) -> list[str]:
    """Where a law that may decide misses its own runs, with the runs that it misses most."""
    notes = []
    for name, fit in study.deciding.items():
        quality = fit.quality
        if quality is None or fit.residuals is None:
            continue
        worst = ", ".join(study.table.texts("run_id")[fit.rows][list(quality.worst)])
        if quality.lack_of_fit is not None and quality.lack_of_fit < CERTAIN_MISFIT:
            notes.append(
                f"The {name} law misses its runs by {100 * quality.rms:.2g} % (rms), seeds differ "
                f"by {100 * (quality.seed_noise or 0):.2g} %: its form does not hold to that "
                f"accuracy, which its interval does not know (farthest off: {worst})"
            )
        elif quality.rms > NOTABLE_SCATTER:
            notes.append(
                f"Runs scatter about the {name} law by {100 * quality.rms:.2g} % (rms; farthest "
                f"off: {worst})"
            )
        columns = {
            name: [texts[row] for row in fit.rows]
            for name, texts in label_columns(study.table.runs).items()
        }
        kinds = explaining_column(columns, fit.residuals)
        if kinds is not None:
            notes.append(kinds.sentence())
    for name, fit in study.deciding.items():
        if fit.status == "converged" and fit.objections:
            notes.append(f"The {name} fit is not trusted: {'; '.join(fit.objections)}")
    return notes


def facts(study: Study) -> list[tuple[str, str]]:
    """The few numbers under the decision."""
    shown = [
        ("runs fitted", f"{len(study.runs):,}"),
        ("excluded", f"{len(study.table.excluded):,}"),
    ]
    for name in APPROACHES:
        if KINDS[name].decides:
            shown.append((f"a, {name}", number(study.fits[name].a) if name in study.fits else "–"))
    if study.holdout is not None and study.holdout.rms is not None:
        shown.append(("left-out error", f"{100 * study.holdout.rms:.2g} %"))
    return shown


def provenance(study: Study) -> list[tuple[str, str]]:
    """Where the numbers come from: files with their digests, and how they were fitted."""
    shown = [("read from", _source(source)) for source in study.table.sources]
    config = study.config
    return [
        *shown,
        ("procedure", f"{config.name}, {_objective(study)}profiles {config.curve}"),
        ("counting", study.runs.counting),
        *_head_sizes(study),
        ("resamples", f"{study.n_resamples:,} over {config.resample}, seed {config.seed}"),
    ]


def _head_sizes(study: Study) -> list[tuple[str, str]]:
    sizes = sorted({width // n for width, counts in _heads(study).items() for n in counts})
    return [("head size", ", ".join(f"{size}" for size in sizes) + " channels")] if sizes else []


def _objective(study: Study) -> str:
    found = study.find(ParametricApproach)
    return f"{found.fit.problem.description}, " if found is not None else ""


def _source(source: str) -> str:
    """A source and the digest of its runs, so that a report can be told from one of other data."""
    if source.startswith(PREFIX):
        table = find_table(source)
        return f"{source}, {table.url} ({table.paper}), rows {table.digest[:16]}"
    path = Path(source)
    file = SweepPaths(path).table("runs") if path.is_dir() else path
    if not file.is_file():
        return str(path)
    return f"{file}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
