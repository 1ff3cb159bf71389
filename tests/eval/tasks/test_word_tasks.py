"""Tasks on letters, places and meanings: right answers, a provable split, honest choices."""

import pytest

from eval.tasks import word_tasks as words
from eval.tasks.generated import TaskError, TaskSpec, alphabet, heldout_items, training_items
from eval.tasks.prompt_formats import STOP
from eval.tasks.word_lists import CATEGORIES, SENSES, WORDS


def canonical(task: str, prompt: str) -> object:
    body = prompt.removesuffix("=")
    if task == "odd_one_out":
        return frozenset(body.split())
    if task == "same_sense":
        return frozenset(body.split("; "))
    return body


@pytest.mark.parametrize("task", list(words.TASKS))
def test_no_heldout_problem_is_ever_a_training_problem(task: str) -> None:
    spec = TaskSpec(task=task)
    trained = {canonical(task, one.prompt) for one in training_items(spec, 3000, seed=1)}
    held_out = {canonical(task, one.prompt) for one in heldout_items(spec, 500, seed=2)}
    assert held_out
    assert not held_out & trained


@pytest.mark.parametrize("task", list(words.TASKS))
def test_choices_hold_the_target_and_texts_fit_the_alphabet(task: str) -> None:
    for layout in ("plain", "question"):
        spec = TaskSpec(task=task, format=layout)
        letters = set(alphabet(spec))
        for item in heldout_items(spec, 200, seed=0):
            assert set(item.prompt + item.target + STOP) <= letters
            if item.choices:
                assert item.choices[item.choice_scores.index(1.0)] == item.target
                assert sum(item.choice_scores) == 1


def test_letter_tasks_by_definition() -> None:
    for item in training_items(TaskSpec(task="copy", letters=7), 50, 0):
        assert item.prompt == f"copy {item.target}="
        assert len(item.target) == 7
    for item in training_items(TaskSpec(task="reversal"), 50, 0):
        assert item.prompt == f"reverse {item.target[::-1]}="
    for item in training_items(TaskSpec(task="unscramble"), 200, 0):
        mixed = item.prompt.removeprefix("unscramble ").removesuffix("=")
        assert mixed != item.target
        for word in (item.target, *item.accepted):
            assert word in WORDS
            assert sorted(word) == sorted(mixed)


@pytest.mark.parametrize(
    ("word", "written"),
    [("shaaban", "$Abn"), ("khoore", "XUr"), ("abed", "abd"), ("zheecho", "%I&")],
)
def test_transliteration_rules(word: str, written: str) -> None:
    assert words.transliterate(word) == written


def test_the_grid_says_where_b_lies() -> None:
    for item in training_items(TaskSpec(task="grid", side=5), 300, 0):
        rows = item.prompt.removesuffix("=").split("/")
        place = {c: (y, x) for y, row in enumerate(rows) for x, c in enumerate(row) if c != "."}
        (ay, ax), (by, bx) = place["a"], place["b"]
        assert item.target.startswith("north") == (by < ay)
        assert item.target.startswith("south") == (by > ay)
        assert item.target.endswith("west") == (bx < ax)
        assert item.target.endswith("east") == (bx > ax)


def test_meanings_follow_the_lexicon_and_are_balanced() -> None:
    items = training_items(TaskSpec(task="same_sense"), 1000, 0)
    assert sum(one.target == "yes" for one in items) / 1000 == pytest.approx(0.5, abs=0.06)
    for item in items[:200]:
        first, second = item.prompt.removesuffix("=").split("; ")
        word = first.split()[0]
        senses = [
            next(
                i
                for i, texts in enumerate(SENSES[word])
                if use[len(word) + 1 :] in texts.split("|")
            )
            for use in (first, second)
        ]
        assert (item.target == "yes") == (senses[0] == senses[1])
    kind = {word: name for name, texts in CATEGORIES.items() for word in texts.split()}
    for item in training_items(TaskSpec(task="odd_one_out"), 200, 0):
        kinds = [kind[word] for word in item.choices]
        assert kinds.count(kind[item.target]) == 1
        assert len(set(kinds)) == 2


def test_formats_and_sizes_without_meaning_are_refused() -> None:
    with pytest.raises(TaskError, match="format=reversed has no meaning for task=copy"):
        TaskSpec(task="copy", format="reversed")
    with pytest.raises(TaskError, match="letters=40 of task=unscramble"):
        TaskSpec(task="unscramble", letters=40)
    with pytest.raises(TaskError, match="side=1"):
        TaskSpec(task="grid", side=1)


def test_a_verdict_is_yes_exactly_for_right_proposals() -> None:
    items = training_items(TaskSpec(format="verdict", digits=2), 1000, 0)
    for item in items:
        problem, proposed = item.prompt.removesuffix("?").split("=")
        a, b = map(int, problem.split("+"))
        assert (item.target == "yes") == (a + b == int(proposed))
    assert sum(one.target == "yes" for one in items) / 1000 == pytest.approx(0.5, abs=0.06)
