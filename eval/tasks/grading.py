"""How an output is graded: where it ends, which part of it is the answer, what counts as equal.

A `Grading` travels with stored answers as one text, the layout, so that they can be scored again.
"""

import dataclasses
import functools
import json
import math
import re
import string
import unicodedata
from dataclasses import dataclass

from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import STOP

PREFIX = "grading:"
NORMALIZE = ("none", "quasi", "squad")
WHICH = ("first", "last")

FIRST_SENTENCE = r"[^\.\?\!\;\n]+"
"""BIG-bench's pattern of an answer: an output up to its first . ? ! ; or line end."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?%?", re.IGNORECASE)


@dataclass(frozen=True)
class Grading:
    """Rules for the outputs of one task.

    `extract` is a regular expression whose `which` match (its last group, or all of it) is the
    answer; "" takes the whole output. `normalize` is applied to answers, targets and accepted
    answers alike: none (Unicode NFC, no blanks around), squad (lower case, no punctuation, no
    articles, single blanks) or quasi (squad, and accents off). `numeric` compares numbers by value.
    `stop` ends outputs; with `keep_stop` it is their last part, as in BIG-bench. `metrics` are
    those that a BIG-bench task names.
    """

    extract: str = ""
    which: str = "first"
    normalize: str = "none"
    numeric: bool = False
    stop: str = STOP
    keep_stop: bool = False
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("normalize", NORMALIZE), ("which", WHICH)):
            if getattr(self, name) not in allowed:
                raise TaskError(
                    f"task.{name}={getattr(self, name)!r} is unknown; expected {', '.join(allowed)}"
                )
        if not self.stop:
            raise TaskError("task.stop is empty; expected a text that ends outputs, such as '\\n'")
        try:
            re.compile(self.extract)
        except re.error as error:
            raise TaskError(
                f"extract={self.extract!r} is no regular expression ({error})"
            ) from error

    @property
    def layout(self) -> str:
        """The rules as the text that is stored with answers."""
        return PREFIX + json.dumps(dataclasses.asdict(self), sort_keys=True)

    @property
    def takes_longer(self) -> bool:
        """Whether a right output may be far longer than its target: a sentence around it, say."""
        within = self.extract not in ("", FIRST_SENTENCE)
        return within or self.numeric or self.normalize != "none"

    def settled(self, output: str) -> str | None:
        """The answer in an output that was cut off, where its rest can't change it; else None."""
        match = re.search(self.extract, output) if self.extract and self.which == "first" else None
        return self.part(output) if match and match.end() < len(output) else None

    def part(self, output: str) -> str:
        """The answer in an output; "" where the pattern matches nowhere."""
        if not self.extract:
            return output.strip()
        found = list(re.finditer(self.extract, output))
        if not found:
            return ""
        match = found[0 if self.which == "first" else -1]
        return match.group(match.lastindex or 0) or ""

    def equal(self, answer: str, right: str) -> bool:
        """Whether an answer is a right one under `normalize` and `numeric`."""
        if self.numeric:
            numbers = as_number(answer), as_number(right)
            if None not in numbers:
                return math.isclose(*numbers, rel_tol=1e-9, abs_tol=1e-12)  # type: ignore[arg-type]
        return normalized(answer, self.normalize) == normalized(right, self.normalize)


@functools.lru_cache(maxsize=256)
def grading_of(layout: str) -> Grading | None:
    """The rules that a layout holds; None for the name of a format."""
    if not layout.startswith(PREFIX):
        return None
    fields = json.loads(layout.removeprefix(PREFIX))
    return Grading(**fields | {"metrics": tuple(fields.get("metrics", ()))})


def normalized(text: str, how: str) -> str:
    """A text under one of `NORMALIZE`."""
    text = unicodedata.normalize("NFC", text).strip()
    if how == "none":
        return text
    text = text.lower()
    if how == "quasi":
        apart = unicodedata.normalize("NFD", text)
        text = "".join(c for c in apart if not unicodedata.combining(c))
    return " ".join(_ARTICLES.sub(" ", text.translate(_PUNCTUATION)).split())


def as_number(text: str) -> float | None:
    """The number that a text is, thousands grouped by commas or not; None for another text."""
    bare = text.strip().strip("$€£ ").rstrip(".")
    if not _NUMBER.fullmatch(bare):
        return None
    return float(bare.rstrip("%").replace(",", ""))
