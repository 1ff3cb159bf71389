"""Whose column is which: known aliases of this project's names, and units that headers state."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.data.reading.cells import SCALES

ALIASES: dict[str, tuple[str, ...]] = {
    "run_id": ("run_id",),
    "n_params": (
        "n_params", "n", "params", "parameters", "parameter_count", "param_count", "num_params",
        "num_parameters", "n_parameters", "model_size", "model_params", "model_parameters",
    ),
    "n_params_active": (
        "n_params_active", "active_params", "n_active", "active_parameters", "params_active",
        "activated_params", "activated_parameters",
    ),
    "n_tokens": (
        "n_tokens", "d", "tokens", "total_tokens", "num_tokens", "token_count", "tokens_seen",
        "training_tokens", "train_tokens", "n_train_tokens",
    ),
    "flops": (
        "flops", "c", "flop", "compute", "total_flops", "training_flops", "train_flops",
        "training_compute", "train_compute",
    ),
    "flops_budget": (
        "flops_budget", "budget", "compute_budget", "flop_budget", "training_budget",
    ),
    "loss": (
        "smooth_loss", "smoothed_loss", "loss_smooth", "loss", "final_loss", "val_loss",
        "validation_loss", "final_val_loss", "eval_loss", "test_loss", "heldout_loss",
        "c4_loss", "nll", "cross_entropy",
        "lm_loss", "train_loss", "training_loss", "bits_per_byte", "bpb", "perplexity", "ppl",
        "val_perplexity", "val_ppl", "eval_perplexity",
    ),
    "epochs": ("epochs", "n_epochs", "num_epochs"),
    "unique_tokens": ("unique_tokens", "n_unique_tokens", "unique"),
    "step": ("step", "global_step", "iteration", "iter", "training_step", "train_step"),
    "progress": (
        "portion_steps_elapsed", "progress", "fraction_of_training", "training_fraction",
    ),
    "status": ("status", "state"),
    "data": ("data", "dataset", "corpus", "training_data", "train_data"),
}  # fmt: skip
"""Normalised headers by field, those taken first first."""

_ALL = frozenset(alias for aliases in ALIASES.values() for alias in aliases)

NUMERIC = (
    "n_params", "n_params_active", "n_tokens", "flops", "flops_budget", "loss", "epochs",
    "unique_tokens", "step", "progress",
)  # fmt: skip

COUNTS = ("n_params", "n_params_active", "n_tokens", "flops", "flops_budget", "unique_tokens")
"""Fields whose values have a unit such as millions."""

_WORDS = {
    "thousands": 1e3, "millions": 1e6, "billions": 1e9, "trillions": 1e12, "mio": 1e6, "m": 1e6,
    "b": 1e9, "bn": 1e9, "t": 1e12, "k": 1e3,
}  # fmt: skip
LOSS_UNITS = {
    "nats": "nats", "nat": "nats", "bits": "bits", "bit": "bits", "perplexity": "perplexity",
    "ppl": "perplexity",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A file's column taken for a field; `unit` is a factor or a unit of loss that its header
    states, "" for none; `others` are columns that could have been taken.
    """

    field: str
    header: str
    unit: str = ""
    others: tuple[str, ...] = ()


def split_header(header: str) -> tuple[str, str]:
    """A header as lower-case words joined by _, and the unit in its last parentheses."""
    text = header.strip()
    found = re.fullmatch(r"(.*?)[(\[]([^()\[\]]*)[)\]]\s*", text)
    unit = ""
    if found and found[1].strip():
        text, unit = found[1], found[2].strip().lower()
    # camelCase, as exports write it, has no separator; a lone capital (N, D, C) must stay.
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    return re.sub(r"[^a-z0-9/.]+", "_", text.lower()).strip("_"), unit


def find_columns(
    headers: Sequence[str],
    given: Mapping[str, str],
    fits: Callable[[str, str], bool],
) -> dict[str, Column]:
    """The column of each field that a table has.

    Args:
        headers: The file's column names.
        given: Columns that the user names, by field; "" for a field that is to be left alone.
        fits: Whether a header's cells can be a field's values, by (field, header).
    """
    found: dict[str, Column] = {}
    taken = {theirs for theirs in given.values() if theirs}
    free = [header for header in headers if header not in taken]
    for field, aliases in ALIASES.items():
        if field in given:
            if given[field]:
                found[field] = Column(field, given[field], _unit(field, given[field]))
            continue
        candidates = _candidates(field, aliases, free)
        fitting = [
            header
            for header in candidates
            if (header == field and field in NUMERIC) or fits(field, header)
        ]
        if fitting:
            first, *others = fitting
            found[field] = Column(field, first, _unit(field, first), tuple(others))
    return found


def _candidates(field: str, aliases: Sequence[str], headers: Sequence[str]) -> list[str]:
    """Headers that are an alias of the field, best first: the name itself, then whole headers,
    then last parts of dotted or slashed ones ("eval/loss"), those of training last.
    """
    ranked: list[tuple[tuple[int, ...], str]] = []
    for place, header in enumerate(headers):
        whole, _ = split_header(header)
        path = re.split(r"[/.]", whole)
        # "D/N" and "tokens/params" are ratios, not the last parts of paths.
        path = path if path[0].strip("_") not in _ALL else [whole]
        for depth, name in enumerate((re.sub(r"[/.]", "_", whole), path[-1].strip("_"))):
            bare = _without_unit(name)
            match = name if name in aliases else bare if bare in aliases else None
            if match is not None and not (depth and len(path) == 1):
                training = any(part in ("train", "training") for part in path[:-1])
                # A smoothed loss is the same quantity as the loss beside it, with less noise.
                exact = header == field or (match.startswith("smooth") and not depth)
                rank = (not exact, depth, training, aliases.index(match), place)
                ranked.append((tuple(map(int, rank)), header))
                break
    return [header for _, header in sorted(ranked)]


def _without_unit(name: str) -> str:
    words = name.split("_")
    if len(words) > 1 and (words[-1] in _WORDS or words[-1] in LOSS_UNITS):
        words = words[:-1]
        if words[-1] == "in":
            words = words[:-1]
    return "_".join(words)


def _unit(field: str, header: str) -> str:
    """The unit that a header states: a factor such as "1e9", or a unit of loss."""
    name, unit = split_header(header)
    words = re.split(r"[_/.]", name)
    if field == "loss":
        stated = [LOSS_UNITS.get(word) for word in (*re.split(r"[^a-z]+", unit), words[-1])]
        return next((s for s in stated if s), "")
    if field not in COUNTS:
        return ""
    if unit in SCALES or unit in _WORDS:
        return f"{_WORDS.get(unit) or SCALES[unit]:g}"
    if re.fullmatch(r"1e\+?\d+|10\^\d+", unit):
        return f"{float(unit.replace('10^', '1e')):g}"
    return f"{_WORDS[words[-1]]:g}" if len(words) > 1 and words[-1] in _WORDS else ""
