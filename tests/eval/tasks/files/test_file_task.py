"""BIG-bench and JSONL files become items; what is malformed is named with its place."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.tasks.files.file_task import SPLIT, FileOptions, file_options
from eval.tasks.files.file_task import file_set as set_of
from eval.tasks.generated import TaskError
from eval.tasks.grading import grading_of

BIGBENCH = {
    "name": "sums",
    "metrics": ["exact_str_match", "multiple_choice_grade", "bleurt"],
    "task_prefix": "Add.\n",
    "output_regex": r"(\d+)",
    "examples": [
        {"input": "1+1", "target": ["2", "two"]},
        {"input": "2+1", "target_scores": {"3": 1, "4": 0}},
        {"input": "5+5", "target": "10"},
    ],
}


def file_exam(path: Path, shots: int, n_items: int, seed: int, **options):
    return set_of(path, FileOptions(shots=shots, **options), n_items, seed)


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_bigbench_task(tmp_path: Path) -> None:
    exam = file_exam(written(tmp_path / "task.json", BIGBENCH), 0, 100, seed=0)
    items = {item.answer: item for item in exam.splits[SPLIT]}
    assert items["2"].prompt == "Add.\n\nQ: 1+1\nA:"
    assert (items["2"].target, items["2"].accepted) == (" 2", ("two",))
    assert items["3"].prompt.endswith("Q: 2+1\n  choice: 4\n  choice: 3\nA:")
    assert (items["3"].choices, items["3"].choice_scores) == ((" 3", " 4"), (1.0, 0.0))
    assert exam.decode
    assert exam.excluded == {"metric bleurt: not computed": 1}
    rules = grading_of(exam.layout)
    assert rules is not None
    assert rules.part(" it is 10 or so 11") == "10"
    assert rules.metrics == ("exact_str_match", "multiple_choice_grade")
    assert (exam.task, exam.format, exam.label) == ("sums", "file", "sums")


def test_shots_are_other_items(tmp_path: Path) -> None:
    exam = file_exam(written(tmp_path / "task.json", BIGBENCH), 2, 100, seed=3)
    for item in exam.splits[SPLIT]:
        *shots, query = item.prompt.split("\nQ: ")[1:]
        assert len(shots) == 2
        question = query.split("\n")[0]
        assert question not in [shot.split("\n")[0] for shot in shots]
    assert exam.label == "sums-2shot"


def test_jsonl_of_targets_and_choices(tmp_path: Path) -> None:
    rows = [
        {"prompt": "1+1=", "target": "2", "accepted": ["two"]},
        {"prompt": "2+1=", "choices": ["3", "4"], "answer": "3"},
        {"prompt": "2+2=", "choices": ["3", "4"], "answer": 1},
    ]
    path = written(tmp_path / "qa.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    exam = file_exam(path, 0, 2, seed=0)
    assert exam.excluded == {"items beyond n_items": 1}
    everything = {i.prompt: i for i in file_exam(path, 0, 10, seed=0).splits[SPLIT]}
    assert everything["1+1="].accepted == ("two",)
    assert everything["2+1="].target == "3"
    assert everything["2+2="].choice_scores == (0.0, 1.0)
    scored = written(tmp_path / "mc.jsonl", json.dumps(rows[1]))
    assert not file_exam(scored, 0, 10, seed=0).decode


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("task.json", "{", "is no JSON"),
        ("task.json", {"name": "x"}, "has no 'examples'"),
        ("task.json", {"examples": []}, "has no items"),
        ("task.json", {"examples": [{"input": "1"}]}, "example 0 has no 'target'"),
        ("task.json", {"examples": [{"input": "1", "target": []}]}, "empty list"),
        ("task.json", {"examples": [{"input": "1", "target_scores": {}}]}, "target_scores"),
        ("task.json", {"examples": [{"input": "1", "target_scores": {"a": "b"}}]}, "numbers"),
        ("task.json", {"examples": [{"input": "1", "target": "a\nb"}]}, "line break"),
        (
            "task.json",
            {"examples": [{"input": "1", "target": "a"}], "output_regex": "("},
            "regular",
        ),
        (
            "task.json",
            {"examples": [{"input": "1", "target": "a"}], "metrics": ["bleurt"]},
            r"none of its metrics \(bleurt\) is computed",
        ),
        ("qa.jsonl", '{"prompt": "a", "target": "b"}\n{"prompt": "a"}', "line 2 has no 'target'"),
        ("qa.jsonl", "[1]", "expected a JSON object"),
        ("qa.jsonl", '{"prompt": "a", "choices": ["b"], "answer": 3}', "neither a choice nor"),
        ("qa.jsonl", '{"prompt": 3, "target": "b"}', "wrong type"),
        ("qa.jsonl", "", "has no items"),
    ],
)
def test_a_malformed_file_is_one_clear_error(
    tmp_path: Path, name: str, content: object, message: str
) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        file_exam(written(tmp_path / name, content), 0, 10, seed=0)
    assert "\n" not in str(caught.value)


def test_missing_files_and_too_many_shots(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="does not exist"):
        file_exam(tmp_path / "none.json", 0, 10, seed=0)
    with pytest.raises(TaskError, match=r"shots=3 with 3 items"):
        file_exam(written(tmp_path / "task.json", BIGBENCH), 3, 10, seed=0)


def test_line_separators_inside_strings_and_a_mark_are_no_line_ends(tmp_path: Path) -> None:
    rows = [{"prompt": "a\u2028b\u0085c\u000bd", "target": "x"}, {"prompt": "e", "target": "y"}]
    text = "\ufeff" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "qa.jsonl").write_bytes(text.encode())
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "qa.parquet")
    for name in ("qa.jsonl", "packed.jsonl.gz", "qa.parquet"):
        items = file_exam(tmp_path / name, 0, 10, seed=0).splits[SPLIT]
        assert sorted(item.prompt for item in items) == ["a\u2028b\u0085c\u000bd", "e"], name


def test_columns_of_others_become_ours(tmp_path: Path) -> None:
    rows = [{"context": "Q: 1+1 A:", "completion": " 2"}]
    path = written(tmp_path / "gpt3.jsonl", "\n".join(map(json.dumps, rows)))
    columns = {"prompt": "context", "target": "completion"}
    (item,) = file_exam(path, 0, 10, seed=0, columns=columns).splits[SPLIT]
    assert (item.prompt, item.target, item.answer) == ("Q: 1+1 A:", " 2", "2")
    with pytest.raises(TaskError, match=r"has no 'text', asked for as prompt; it has context"):
        file_exam(path, 0, 10, seed=0, columns={"prompt": "text"})


def test_shots_come_from_their_own_file_and_never_have_the_same_prompt(tmp_path: Path) -> None:
    rows = [{"prompt": p, "target": t} for p, t in (("1+1=", "2"), ("1+1=", "two"), ("2+2=", "4"))]
    path = written(tmp_path / "qa.jsonl", "\n".join(map(json.dumps, rows)))
    for item in file_exam(path, 1, 10, seed=0).splits[SPLIT]:
        shot, query = item.prompt.split("\n\n")
        assert not shot.startswith(query)
    with pytest.raises(TaskError, match=r"task.shots=2 with 3 items .* expected 0 to 1"):
        file_exam(path, 2, 10, seed=0)
    shots = written(tmp_path / "shots.jsonl", json.dumps({"prompt": "7+7=", "target": "14"}))
    options = {"shots_from": str(shots), "separator": " ; "}
    items = file_exam(path, 1, 10, seed=0, **options).splits[SPLIT]
    assert {item.prompt for item in items} == {"7+7=14 ; 1+1=", "7+7=14 ; 2+2="}
    # The same text but for its blanks gives the answer away as well.
    spaced = written(tmp_path / "spaced.jsonl", json.dumps({"prompt": " 1+1= ", "target": "2"}))
    with pytest.raises(TaskError, match="expected 0 to 0"):
        file_exam(path, 1, 10, seed=0, shots_from=str(spaced))


def test_line_ends_in_separators_and_stops_can_be_typed() -> None:
    """A command line holds no line end, and every few-shot prompt needs one."""
    given = {"task": "file", "separator": r"\n###\n", "stop": r"\n\n", "extract": r"\d+\n"}
    options = file_options(given)
    assert (options.separator, options.stop) == ("\n###\n", "\n\n")
    assert options.extract == r"\d+\n", "a pattern has escapes of its own"


def test_a_missing_space_between_prompt_and_answer_is_said(tmp_path: Path, caplog) -> None:
    rows = [{"prompt": "The answer is", "choices": ["yes", "no"], "answer": 0},
            {"prompt": "1+1=", "target": "2"}, {"prompt": "So ", "target": "yes"}]  # fmt: skip
    file_exam(written(tmp_path / "qa.jsonl", "\n".join(map(json.dumps, rows))), 0, 10, seed=0)
    (record,) = caplog.records
    assert "1 of 3 items" in record.getMessage()
    assert "'The answer isyes'" in record.getMessage()


def test_bigbench_examples_that_repeat_are_asked_once(tmp_path: Path) -> None:
    example = {"input": "2+1", "target_scores": {"3": 1, "4": 0}}
    task = {
        "metrics": ["multiple_choice_grade"],
        "examples": [example, example, BIGBENCH["examples"][0]],
    }
    exam = file_exam(written(tmp_path / "task.json", task), 0, 100, seed=0)
    assert len(exam.splits[SPLIT]) == 2
    assert exam.excluded == {"examples that repeat": 1}


def test_bigbench_choices_are_shown_in_drawn_orders(tmp_path: Path) -> None:
    right_first = [
        {"input": str(i), "target_scores": {"d": 1, "a": 0, "c": 0, "b": 0}} for i in range(40)
    ]
    path = written(tmp_path / "task.json", {"examples": right_first})
    items = file_exam(path, 0, 100, seed=0).splits[SPLIT]
    shown = [item.prompt.split("choice: ")[1:] for item in items]
    first = [parts[0].strip() for parts in shown]
    assert {name: first.count(name) for name in "abcd"}["d"] < 20
    assert len({tuple(parts) for parts in shown}) > 10
    assert items[0].choices == (" d", " a", " c", " b")


def test_bigbenchs_default_pattern_and_stop(tmp_path: Path) -> None:
    example = {"input": "1", "target": "yes"}
    rules = grading_of(
        file_exam(written(tmp_path / "task.json", {"examples": [example]}), 0, 1, 0).layout
    )
    assert rules is not None
    assert rules.part("yes. No") == "yes"
    stopped = {"examples": [example], "stop_string": "."}
    rules = grading_of(file_exam(written(tmp_path / "task.json", stopped), 0, 1, 0).layout)
    assert rules is not None
    assert (rules.extract, rules.stop, rules.keep_stop) == ("", ".", True)
    # The stop string ends outputs and is part of them, so a target may have it or not.
    sentence = {"input": "1", "target": ["It is so.", "So"]}
    stopped = {"examples": [sentence], "stop_string": "."}
    (item,) = file_exam(written(tmp_path / "task.json", stopped), 0, 1, 0).splits[SPLIT]
    assert (item.target, item.answer, item.accepted) == (" It is so", "It is so.", ("So",))


def test_a_container_names_its_subtasks(tmp_path: Path) -> None:
    for name in ("two", "one"):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "task.json", BIGBENCH)
    with pytest.raises(
        TaskError, match=r"one of its 2 subtasks \(one, two\): path=.*one/task.json"
    ):
        file_exam(tmp_path, 0, 10, seed=0)
    written(tmp_path / "task.json", {"name": "container"})
    with pytest.raises(TaskError, match=r"a container of subtasks; name one of its 2"):
        file_exam(tmp_path, 0, 10, seed=0)
