"""An evaluation set: named items by split, with everything that identifies its results."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eval.tasks.arithmetic import OPERATIONS
from eval.tasks.codebook import (
    CODEBOOK_VERSION,
    CodebookSpec,
    heldout_strings,
    training_strings,
)
from eval.tasks.generated import TASK_VERSION, TaskSpec, heldout_items, training_items
from eval.tasks.prompt_formats import Item

Generated = TaskSpec | CodebookSpec
"""A task whose items are generated, with a training and a held-out split."""

HELDOUT_SEED = 1
"""Every checkpoint is asked the same held-out items, so that comparisons are paired."""


@dataclass(frozen=True)
class EvalSet:
    """Items to ask; `label` names files; `task`, `operands`, `format` and `n_shots` are columns.

    `layout` tells `formats.graded_part` where outputs hold their answer; `decode` is False where
    choices are only scored; `excluded` counts what the source holds and the set leaves out.
    `identity` is JSON: equal identities pose equal items, and stored results are then reused.
    """

    label: str
    task: str
    format: str
    n_shots: int
    splits: Mapping[str, list[Item]]
    identity: dict[str, Any]
    decode: bool = True
    layout: str = "plain"
    operands: str = ""
    excluded: dict[str, int] = field(default_factory=dict)


def generated_set(
    spec: Generated, n_items: int, seen_seed: int | None = None, n_seen: int = 0
) -> EvalSet:
    """Held-out items of a generated task and, for a model trained on it, items that it has seen.

    Args:    seen_seed: the seed of the run's own training items, whose first n_seen are asked.
    Raises:  TaskError: a split without problems.
    """
    seen = n_seen if seen_seed is not None else 0
    if isinstance(spec, CodebookSpec):
        held = heldout_strings(spec, n_items, HELDOUT_SEED)
        met = training_strings(spec, seen, seen_seed or 0) if seen else []
        operands = "" if spec.lengths == "exact_length" else spec.lengths
        version, layout, shots = CODEBOOK_VERSION, "plain", 0
    else:
        held = heldout_items(spec, n_items, HELDOUT_SEED)
        met = training_items(spec, seen, seen_seed or 0) if seen else []
        operands = spec.operands if spec.task in OPERATIONS else ""
        version, layout, shots = TASK_VERSION, spec.format, spec.shots
    return EvalSet(
        label=spec.label,
        task=spec.name,
        operands=operands,
        format=layout,
        n_shots=shots,
        layout=layout,
        splits={"heldout": held} | ({"seen": met} if met else {}),
        identity={
            "task": dataclasses.asdict(spec),
            "version": version,
            "n_items": n_items,
            "heldout_seed": HELDOUT_SEED,
            "seen_seed": seen_seed,
            "n_seen": n_seen,
        },
    )


def length_variant(spec: Generated) -> TaskSpec | None:
    """The same task with all operand lengths alike, for metrics against target length.

    None for tasks without digits to vary, and where the lengths already are uniform. A model that
    was trained on codebook strings of one length knows no other.
    """
    if isinstance(spec, CodebookSpec):
        return None
    sized = spec.task in OPERATIONS and spec.digits > 1 and spec.format != "verdict"
    varies = sized and spec.operands == "uniform_value"
    return dataclasses.replace(spec, operands="uniform_length") if varies else None


def longest_variant(spec: Generated) -> CodebookSpec | None:
    """Strings of the greatest length alone, where a codebook was trained on several lengths."""
    if isinstance(spec, CodebookSpec) and spec.lengths == "uniform_length":
        return dataclasses.replace(spec, lengths="exact_length")
    return None


def spec_from_options(options: Mapping[str, Any]) -> TaskSpec:
    """The task among the options of an `arithmetic` data part, which also name items and seed."""
    return TaskSpec(**_fields(TaskSpec, options))


def codebook_spec(options: Mapping[str, Any]) -> CodebookSpec:
    """The table and strings among the options of a `codebook` data part."""
    return CodebookSpec(**_fields(CodebookSpec, options))


def _fields(cls: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in dataclasses.fields(cls)}
    return {key: value for key, value in options.items() if key in names}
