"""What counts as the answer in an output, and as equal to a right one."""

import pytest

from eval.metrics.outcome import Outcome
from eval.metrics.per_item import exact_match
from eval.tasks.generated import TaskError
from eval.tasks.grading import FIRST_SENTENCE, Grading, as_number, grading_of, normalized


@pytest.mark.parametrize(
    ("text", "how", "expected"),
    [
        (" Four ", "none", "Four"),
        ("e\u0301", "none", "é"),
        ("The  Eiffel-Tower!", "squad", "eiffeltower"),
        ("An É", "squad", "é"),
        ("An É", "quasi", "e"),
    ],
)
def test_normalisation(text: str, how: str, expected: str) -> None:
    assert normalized(text, how) == expected


@pytest.mark.parametrize(
    ("rules", "output", "right", "expected"),
    [
        (Grading(), " four", "four", True),
        (Grading(), "four", " four", True),
        (Grading(), "Four.", "four", False),
        (Grading(normalize="squad"), "The four.", "four", True),
        (Grading(extract=r"\d+"), "3 and 4", "3", True),
        (Grading(extract=r"\d+", which="last"), "3 and 4", "4", True),
        (Grading(extract=r"answer is (\w+)"), "the answer is 7.", "7", True),
        (Grading(extract=r"\d+"), "none", "3", False),
        (Grading(numeric=True), "1,000", "1000.0", True),
        (Grading(numeric=True), "$5", "5", True),
        (Grading(numeric=True), "5", "five", False),
        (Grading(), "1,000", "1000", False),
    ],
)
def test_answers(rules: Grading, output: str, right: str, expected: bool) -> None:
    given = Outcome(prompt="", target="x", target_tokens=(1,), accepted=(right,), output=output,
                    stopped=True, layout=rules.layout)  # fmt: skip
    assert exact_match(given) == float(expected)
    assert grading_of(rules.layout) == rules


def test_numbers_and_unknown_rules() -> None:
    assert [as_number(text) for text in ("-3.5e2", "12%", "1.2.3", "")] == [-350, 12, None, None]
    with pytest.raises(TaskError, match=r"task.normalize='helm' is unknown; expected none, quasi"):
        Grading(normalize="helm")
    with pytest.raises(TaskError, match="is no regular expression"):
        Grading(extract="(")
    with pytest.raises(TaskError, match=r"task.stop is empty"):
        Grading(stop="")


def test_an_answer_that_is_complete_counts_though_the_output_was_cut_off() -> None:
    def graded(output: str, **rules: str) -> str | None:
        layout = Grading(**rules).layout
        return Outcome("", "", (), output=output, layout=layout, stopped=False).graded

    assert graded(" four. Or fi", extract=FIRST_SENTENCE) == " four"
    assert graded("It is 12, or 1", extract=r"\d+") == "12"
    assert graded("It is 12", extract=r"\d+") is None, "it may go on as 123"
    assert graded("It is 12, or 1", extract=r"\d+", which="last") is None
    assert graded("four") is None
    assert graded("It is ", extract=r"\d+") is None
