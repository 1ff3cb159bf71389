"""Items of a file before shots are put in front of them."""

from dataclasses import dataclass, field

from eval.tasks.grading import Grading
from eval.tasks.prompt_formats import Item


@dataclass(frozen=True)
class Source:
    """Items with what stands before and between them and how their answers are graded.

    `decode` is False where choices are only scored; `excluded` counts what the file holds and the
    task leaves out, by reason.
    """

    name: str
    items: list[Item]
    separator: str
    grading: Grading
    prefix: str = ""
    decode: bool = True
    excluded: dict[str, int] = field(default_factory=dict)
