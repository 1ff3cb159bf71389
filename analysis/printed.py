"""What an analysis prints on the terminal: what was read, and the main numbers."""

from analysis.sections.prose.opening import sentences
from analysis.sections.summary import caveats
from analysis.studies.allocation import AllocationRow
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.study import Study
from train.commands.terminal import say


def print_fits(study: Study, advice: list[AllocationRow]) -> None:
    """What was read and the main numbers as plain lines."""
    for line in study.table.understood:
        say(line)
    say(f"{len(study.runs)} runs fitted, {len(study.table.excluded)} excluded")
    for name in (*study.config.approaches, RepeatedApproach.name):
        if name not in study.fits:
            if name in study.missing:
                say(f"{name:11}{study.missing[name]}")
            continue
        fit = study.fits[name]
        low, high = fit.intervals.get("a", (float("nan"), float("nan")))
        exponents = f"a {fit.a:.6g} [{low:.4g}, {high:.4g}]  b {fit.b:.6g}"
        say(f"{name:11}{exponents}  {fit.status} {fit.reason}".rstrip())
        for line in fit.printed:
            say(f"{'':11}{line}")
    for note in caveats(study):
        say(f"note: {note}")
    for sentence in sentences(study, advice):
        say(sentence)
