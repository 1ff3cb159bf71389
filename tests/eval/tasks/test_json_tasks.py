"""BIG-bench and JSONL files become items; what is malformed is named with its place."""

import json
from pathlib import Path

import pytest

from eval.tasks.generated import TaskError
from eval.tasks.json_tasks import SPLIT, file_set
from eval.tasks.prompt_formats import graded_part

BIGBENCH = {
    "name": "sums",
    "metrics": ["exact_str_match", "multiple_choice_grade", "rouge"],
    "task_prefix": "Add.\n",
    "output_regex": r"(\d+)",
    "examples": [
        {"input": "1+1", "target": ["2", "two"]},
        {"input": "2+1", "target_scores": {"3": 1, "4": 0}},
        {"input": "5+5", "target": "10"},
    ],
}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_bigbench_task(tmp_path: Path) -> None:
    eval_set = file_set(written(tmp_path / "task.json", BIGBENCH), 0, 100, seed=0)
    items = {item.answer: item for item in eval_set.splits[SPLIT]}
    assert items["2"].prompt == "Add.\n\nQ: 1+1\nA:"
    assert (items["2"].target, items["2"].accepted) == (" 2", ("two",))
    assert items["3"].prompt.endswith("Q: 2+1\n  choice: 3\n  choice: 4\nA:")
    assert (items["3"].choices, items["3"].choice_scores) == ((" 3", " 4"), (1.0, 0.0))
    assert eval_set.decode
    assert eval_set.excluded == {"metric rouge: not computed": 1}
    assert graded_part(" it is 10 or so", eval_set.layout) == "10"
    assert (eval_set.task, eval_set.format, eval_set.label) == ("sums", "file", "sums")


def test_shots_are_other_items(tmp_path: Path) -> None:
    eval_set = file_set(written(tmp_path / "task.json", BIGBENCH), 2, 100, seed=3)
    for item in eval_set.splits[SPLIT]:
        *shots, query = item.prompt.split("\nQ: ")[1:]
        assert len(shots) == 2
        question = query.split("\n")[0]
        assert question not in [shot.split("\n")[0] for shot in shots]
    assert eval_set.label == "sums-2shot"


def test_jsonl_of_targets_and_choices(tmp_path: Path) -> None:
    rows = [
        {"prompt": "1+1=", "target": "2", "accepted": ["two"]},
        {"prompt": "2+1=", "choices": ["3", "4"], "answer": "3"},
        {"prompt": "2+2=", "choices": ["3", "4"], "answer": 1},
    ]
    path = written(tmp_path / "qa.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    eval_set = file_set(path, 0, 2, seed=0)
    assert eval_set.excluded == {"items beyond n_items": 1}
    everything = {i.prompt: i for i in file_set(path, 0, 10, seed=0).splits[SPLIT]}
    assert everything["1+1="].accepted == ("two",)
    assert everything["2+1="].target == "3"
    assert everything["2+2="].choice_scores == (0.0, 1.0)
    scored = written(tmp_path / "mc.jsonl", json.dumps(rows[1]))
    assert not file_set(scored, 0, 10, seed=0).decode


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
            {"examples": [{"input": "1", "target": "a"}], "stop_string": "."},
            "stop_string",
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
        file_set(written(tmp_path / name, content), 0, 10, seed=0)
    assert "\n" not in str(caught.value)


def test_missing_files_and_too_many_shots(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="does not exist"):
        file_set(tmp_path / "none.json", 0, 10, seed=0)
    with pytest.raises(TaskError, match=r"shots=3 with 3 items"):
        file_set(written(tmp_path / "task.json", BIGBENCH), 3, 10, seed=0)
