"""Settings that a grid crosses its cells with: in a spec, in a name, and the best of each cell."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sweeps.spec.grids import AXES
from train.config.spec import RunSpec

_SHORT = {"lr_peak": "lr", "batch_tokens": "b", "weight_decay": "wd", "warmup_tokens": "w"}


@dataclass(frozen=True)
class Trial:
    """One run of a cell under some settings; `loss` is None until it is finished."""

    cell: str
    settings: dict[str, float]
    loss: float | None


def with_settings(spec: RunSpec, settings: dict[str, float]) -> RunSpec:
    """A spec with the values of a grid's axes in place of what a rule would give."""
    for name, value in settings.items():
        part = replace(getattr(spec, AXES[name]), **{name: value})
        spec = replace(spec, **{AXES[name]: part})
    return spec


def settings_label(settings: dict[str, float]) -> str:
    """What settings add to a run's name: -lr3e-3-b65536; nothing without any."""
    return "".join(f"-{_SHORT[name]}{_exact(value)}" for name, value in settings.items())


def settings_text(settings: dict[str, float]) -> str:
    """Settings as they are given: lr_peak=3e-3 batch_tokens=65536."""
    return " ".join(f"{name}={_exact(value)}" for name, value in settings.items())


def best_lines(trials: Iterable[Trial]) -> list[str]:
    """For each cell with several settings the best one yet, and whether it lies at an axis' end.

    Seeds of the same settings count by their mean loss.
    """
    cells: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.settings:
            cells.setdefault(trial.cell, []).append(trial)
    lines = (_best_line(cell, members) for cell, members in cells.items())
    return [line for line in lines if line]


def _best_line(cell: str, members: list[Trial]) -> str:
    by_settings: dict[tuple[tuple[str, float], ...], list[float]] = {}
    for trial in members:
        losses = by_settings.setdefault(tuple(sorted(trial.settings.items())), [])
        if trial.loss is not None:
            losses.append(trial.loss)
    if len(by_settings) < 2:
        return ""
    means = {key: sum(losses) / len(losses) for key, losses in by_settings.items() if losses}
    if not means:
        return f"{cell}: none of {len(by_settings)} settings is finished"
    order = sorted(means, key=lambda key: means[key])
    best = dict(order[0])
    text = f"{cell}: best of {len(means)} settings is {_in_order(best)}, loss {means[order[0]]:.4f}"
    if len(order) > 1:
        text += f"; next {_in_order(dict(order[1]))}, {means[order[1]]:.4f}"
    if len(means) < len(by_settings):
        text += f"; {len(by_settings) - len(means)} not finished"
    ends = [name for name in best if _at_an_end(name, best[name], by_settings)]
    said = "are best at ends of their ranges" if ends[1:] else "is best at the end of its range"
    return text + (f"; {', '.join(ends)} {said}" if ends else "")


def _in_order(settings: dict[str, float]) -> str:
    return settings_text({name: settings[name] for name in AXES if name in settings})


def _at_an_end(name: str, value: float, tried: Iterable[tuple[tuple[str, float], ...]]) -> bool:
    """Whether the best value has no tried neighbour on one side: the optimum may lie beyond."""
    values = {dict(key)[name] for key in tried}
    return len(values) > 1 and value in (min(values), max(values))


def _exact(value: float) -> str:
    """A number in as few digits as tell it apart: 3e-3, 65536, 0.1."""
    if float(value).is_integer() and abs(value) < 1e7:
        return str(int(value))
    text = f"{value:.12g}"
    if abs(value) >= 0.01 and "e" not in text:
        return text
    digits = next(d for d in range(17) if float(f"{value:.{d}e}") == float(text))
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"
