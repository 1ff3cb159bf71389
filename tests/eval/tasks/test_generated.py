"""The split is provable, the answers are right, and a spec's items never change silently."""

import hashlib
import re
import time

import numpy as np
import pytest

from eval.tasks.arithmetic import OPERANDS, OPERATIONS
from eval.tasks.generated import TaskError, TaskSpec, alphabet, heldout_items, training_items
from eval.tasks.heldout_split import HELDOUT_FRACTION, is_heldout, number_hash
from eval.tasks.prompt_formats import FORMATS, STOP, graded_part

ARITHMETIC = tuple(OPERATIONS)
PLAIN_FORMATS = ("plain", "reversed", "zero_padded", "reversed_padded")


def canonical(task: str, prompt: str) -> tuple[int, ...]:
    """The problem that the last line of a prompt poses, operands of commuting tasks in order."""
    numbers = tuple(int(n) for n in re.findall(r"\d+", prompt.split(STOP)[-1]))
    operands = numbers[: OPERATIONS[task].n_operands]
    return tuple(sorted(operands)) if OPERATIONS[task].commutes else operands


@pytest.mark.parametrize("task", ARITHMETIC)
def test_no_heldout_problem_is_ever_a_training_problem(task: str) -> None:
    trained = set()
    for layout in PLAIN_FORMATS:
        for seed in (0, 1, 17):
            spec = TaskSpec(task=task, digits=2, format=layout)
            trained |= {canonical(task, one.prompt) for one in training_items(spec, 4000, seed)}
    for digits in (1, 2):
        spec = TaskSpec(task=task, digits=digits, operands="uniform_length", format="zero_padded")
        held_out = {canonical(task, one.prompt) for one in heldout_items(spec, 4000, 5)}
        assert held_out
        assert not held_out & trained


def test_few_shot_examples_are_training_problems() -> None:
    plain = TaskSpec(digits=2)
    held_out = {canonical("addition", one.prompt) for one in heldout_items(plain, 5000, 0)}
    for item in heldout_items(TaskSpec(digits=2, shots=3), 300, 0):
        *shots, query = item.prompt.split(STOP)
        assert len(shots) == 3
        assert canonical("addition", query) in held_out
        assert not {canonical("addition", shot.split("=")[0]) for shot in shots} & held_out


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("addition", lambda a, b: a + b),
        ("subtraction", lambda a, b: a - b),
        ("multiplication", lambda a, b: a * b),
        ("three_operand", lambda a, b, c: a + b + c),
        ("modular", lambda a, b: (a + b) % 7),
    ],
)
@pytest.mark.parametrize("layout", FORMATS)
def test_answers_are_right_in_every_format(task: str, layout: str, answer) -> None:
    if layout == "verdict":
        return
    for item in training_items(TaskSpec(task=task, digits=3, format=layout), 200, seed=3):
        numbers = [int(n) for n in re.findall(r"\d+", item.prompt)][: OPERATIONS[task].n_operands]
        graded = graded_part(item.target, layout)
        if layout.startswith("reversed"):
            graded = graded[::-1]
        assert int(graded) == answer(*numbers), item
        assert graded == (item.answer or graded)


def test_working_is_arithmetically_true() -> None:
    for task in ARITHMETIC:
        for item in training_items(TaskSpec(task=task, digits=4, format="scratchpad"), 100, seed=1):
            for step in item.target.split(";")[:-1]:
                left, _, right = step.partition("=")
                assert eval(re.sub(r"\b0+(?=\d)", "", left)) == int(right), (item, step)


@pytest.mark.parametrize(
    ("layout", "prompt", "target"),
    [
        ("plain", "750+429=", "1179"),
        ("reversed", "750+429=", "9711"),
        ("zero_padded", "0750+0429=", "01179"),
        ("reversed_padded", "0750+0429=", "97110"),
        ("question", "Q: What is 750 plus 429?\nA:", " 1179"),
        ("scratchpad", "750+429:", "0+9+0=09;5+2+0=07;7+4+0=11;#1179"),
    ],
)
def test_formats_write_a_problem_as_documented(layout: str, prompt: str, target: str) -> None:
    from eval.tasks.arithmetic import problems
    from eval.tasks.prompt_formats import item

    digits = 4 if "padded" in layout else 3
    (problem,) = problems("addition", np.array([[750, 429]]), layout, digits, 7)
    written = item(problem, layout)
    assert (written.prompt, written.target) == (prompt, target)


def test_more_items_continue_the_same_stream() -> None:
    spec = TaskSpec(format="reversed")
    many = training_items(spec, 70_000, seed=4)
    assert many[:1000] == training_items(spec, 1000, seed=4)
    assert many[:1000] != training_items(spec, 1000, seed=5)


def test_items_of_this_version_are_frozen() -> None:
    """If this fails, generated items have changed: raise TASK_VERSION and renew the digest."""
    specs = [TaskSpec(task=t, format=f) for t in ARITHMETIC for f in ("plain", "scratchpad")]
    text = "".join(
        one.prompt + one.target + STOP for s in specs for one in training_items(s, 50, seed=0)
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "ff270845e17db4a5"


def test_the_share_held_out_is_as_stated() -> None:
    rng = np.random.default_rng(0)
    hashes = number_hash("addition", list(rng.integers(0, 10**6, (2, 200_000))))
    assert is_heldout(hashes).mean() == pytest.approx(HELDOUT_FRACTION, abs=0.003)
    assert len(np.unique(hashes)) > 199_900


def test_operand_distributions() -> None:
    def lengths(operands: str) -> np.ndarray:
        items = training_items(TaskSpec(operands=operands), 6000, seed=0)
        return np.array([len(part) for one in items for part in one.prompt[:-1].split("+")])

    assert np.mean(lengths("uniform_value") == 3) == pytest.approx(0.9, abs=0.02)
    assert np.mean(lengths("uniform_length") == 1) == pytest.approx(1 / 3, abs=0.02)
    assert set(lengths("exact_length")) == {3}


def test_the_alphabet_covers_every_text() -> None:
    for task in ARITHMETIC:
        for layout in FORMATS:
            spec = TaskSpec(task=task, format=layout)
            letters = alphabet(spec)
            assert letters == "".join(sorted(set(letters)))
            texts = "".join(one.prompt + one.target for one in heldout_items(spec, 1500, 9))
            assert set(texts) <= set(letters)
            assert STOP in letters


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "division"}, "task='division' is unknown"),
        ({"digits": 0}, "digits=0"),
        ({"task": "multiplication", "digits": 10}, "1..9"),
        ({"format": "roman"}, "format='roman' is unknown"),
        ({"operands": "normal"}, "operands='normal' is unknown"),
        ({"shots": -1}, "shots=-1"),
        ({"task": "modular", "modulus": 1}, "modulus=1"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(TaskError, match=re.escape(message)):
        TaskSpec(**fields)


def test_labels_tell_specs_apart() -> None:
    specs = [
        TaskSpec(task=t, digits=d, operands=o, format=f, shots=s)
        for t in ARITHMETIC
        for d in (1, 3)
        for o in OPERANDS
        for f in FORMATS
        for s in (0, 2)
        if not (f == "verdict" and t == "modular")
    ]
    assert len({spec.label for spec in specs}) == len(specs)


def test_a_training_set_takes_time_in_proportion_to_its_size() -> None:
    """Sets of 800,000 items are trained on; a search through all before each would take hours."""

    def seconds(n_items: int) -> float:
        started = time.process_time()
        assert len(training_items(TaskSpec(format="reversed"), n_items, 0)) == n_items
        return time.process_time() - started

    seconds(1_000)
    assert min(seconds(30_000) for _ in range(2)) < 40 * max(seconds(3_000) for _ in range(2))
