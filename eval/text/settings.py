"""What is asked of running text, and which settings of the command it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.tasks.generated import TaskError


@dataclass(frozen=True)
class TextTask:
    """What is asked; conf/task/text.yaml and conf/task/continuation.yaml explain the fields."""

    task: str
    by: str = "folder"
    field: str = "text"
    context: int | None = None
    stride: int | None = None
    lengths: tuple[int, ...] = (1, 2, 5, 10)
    strata: int = 4
    reference: str | None = None

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise TaskError(f"task.lengths={list(self.lengths)} must be numbers of tokens, from 1")
        if not 1 <= self.strata <= 20:
            raise TaskError(f"task.strata={self.strata} must lie in 1..20")


def text_task(fields: Mapping[str, Any]) -> TextTask:
    """The task of a configuration.

    Raises:  TaskError: a field that it has not.
    """
    given: dict[str, Any] = {k: tuple(v) if k == "lengths" else v for k, v in fields.items()}
    try:
        return TextTask(**given)
    except TypeError as error:
        raise TaskError(f"task={fields.get('task')}: {error}; see conf/task/") from error
