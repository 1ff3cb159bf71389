"""Which column of a table of scores is which: headers as others write them, and units in them."""

from collections.abc import Mapping, Sequence

from analysis.data.reading.names import find_columns, split_header

ALIASES: dict[str, tuple[str, ...]] = {
    "model": ("model", "model_name", "checkpoint", "model_id", "run", "run_id"),
    "family": ("family", "model_family", "series", "suite"),
    "task": ("task", "task_name", "benchmark", "dataset"),
    "metric": ("metric", "metric_name", "measure", "score_name"),
    "value": ("value", "score", "metric_value", "result"),
    "ci_low": ("ci_low", "lower", "low"),
    "ci_high": ("ci_high", "upper", "high"),
    "stderr": ("stderr", "standard_error", "se", "std_err"),
    "chance": ("chance", "random", "random_baseline", "chance_level", "random_performance"),
    "n_items": ("n_items", "n_samples", "n_examples", "num_examples", "items"),
    "n_shots": ("n_shots", "n_shot", "shots", "num_fewshot", "number_of_shots", "num_shots"),
    "target_length": ("target_length", "target_len", "answer_length"),
    "seed": ("seed", "replicate", "training_seed"),
    "split": ("split",),
    "scale": ("scale",),
    "prompt": ("prompt", "input", "question"),
    "target": ("target", "reference", "gold"),
    "output": ("output", "prediction", "completion", "response"),
    "choices": ("choices",),
    "choice_logprobs": ("choice_logprobs",),
    "output_logprob": ("output_logprob",),
}
"""Normalised headers by column, best first; sizes, tokens, FLOPs and loss are named as in tables of
runs (analysis.data.reading.names).
"""

SIZES = ("n_params", "n_tokens", "flops", "loss")
_MORE = {
    "n_params": (
        "size",
        "total_params",
        "flop_matched_non_embedding_params",
        "non_embedding_params",
    ),
    "n_tokens": ("pretraining_data_size", "pretraining_tokens"),
}


def score_columns(
    headers: Sequence[str], given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The table's column of each name, and the unit that a size's header states.

    `given` are the user's own, by name; "" leaves a name alone. A name that is no column here maps
    to nothing.
    """
    found = {name: header for name, header in given.items() if header}
    taken = set(found.values())
    by_name: dict[str, list[str]] = {}
    for header in headers:
        if header not in taken:
            by_name.setdefault(split_header(header)[0], []).append(header)
    for name, aliases in ALIASES.items():
        match = next((alias for alias in aliases if alias in by_name), None)
        if name not in given and match:
            found[name] = by_name.pop(match)[0]
    free = [header for header in headers if header not in found.values()]
    # Only whole headers: "flop" at the end of a path is no size of a model here.
    sizes = find_columns(free, {n: h for n, h in given.items() if n in SIZES}, lambda f, h: True)
    units = {name: column.unit for name, column in sizes.items() if name in SIZES and column.unit}
    found |= {n: column.header for n, column in sizes.items() if n in SIZES and n not in found}
    for name, aliases in _MORE.items():
        match = next((alias for alias in aliases if alias in by_name), None)
        if name not in found and name not in given and match:
            found[name] = by_name[match][0]
            unit = find_columns([found[name]], {name: found[name]}, lambda f, h: True)[name].unit
            units |= {name: unit} if unit else {}
    if "scale" in found and found["scale"] in found.values():
        units |= _unit_of_scale(found["scale"])
    return found, units


def _unit_of_scale(header: str) -> dict[str, str]:
    field = quantity_of(header)
    if field is None:
        return {}
    unit = find_columns([header], {field: header}, lambda f, h: True)[field].unit
    return {"scale": unit} if unit else {}


def quantity_of(header: str) -> str | None:
    """n_params, n_tokens, flops or loss by what a header says; None for a bare "scale"."""
    name, _ = split_header(header)
    for field, words in _WORDS.items():
        if any(word in name for word in words):
            return field
    return {"n": "n_params", "d": "n_tokens", "c": "flops"}.get(name)


_WORDS = {
    "flops": ("flop", "compute"),
    "n_params": ("param", "size"),
    "n_tokens": ("token", "pretraining_data"),
    "loss": ("loss",),
}
