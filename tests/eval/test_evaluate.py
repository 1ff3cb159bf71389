"""Results on disk: what is written, skipped, rescored, and how it becomes evals.parquet rows."""

import dataclasses
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eval import evaluate as run
from eval.__main__ import EvalConfig, main
from eval.evals_table import SCHEMA, rows, trained_alone
from eval.evaluate import CheckpointRef, evaluate_set, rescore, run_targets
from eval.lm.responses import GenerationSettings
from eval.metrics.outcome import Outcome
from eval.samples import read_outcomes, write_outcomes
from eval.tasks.eval_set import generated_set
from eval.tasks.generated import TaskError, TaskSpec, training_items
from tests.support.tiny_checkpoint import save_checkpoint, save_run
from train.rundir.atomic import RecordError
from train.rundir.checksums import write_checksums
from train.rundir.record import RunPaths, write_record
from train.rundir.sweep_layout import StoreError

OPTIONS = {"task": "addition", "digits": 2, "format": "plain", "seed": 3, "n_items": 1000}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one run with an intermediate checkpoint, one on other data, one that diverged."""
    root = tmp_path_factory.mktemp("sweep")
    save_run(root / "runs" / "a", OPTIONS, steps=(40,))
    save_run(root / "runs" / "b", kind="stdlib", seed=1)
    save_run(root / "runs" / "c", OPTIONS, seed=2, status="diverged")
    assert main(EvalConfig(target=str(root), n_items=60, n_seen=30, n_by_length=20), []) == 0
    return root


def test_a_sweep_scores_what_it_can_and_says_why_not(sweep: Path, capsys) -> None:
    assert main(EvalConfig(target=str(sweep), n_items=60, n_seen=30, n_by_length=20), []) == 0
    printed = capsys.readouterr()
    assert "not evaluated: 1 (b): was trained on no generated task" in printed.err
    assert "not evaluated: 1 (c): is diverged" in printed.err
    scores, table = printed.out.splitlines()[1:-1], sweep / "evals.parquet"
    assert printed.out.endswith(f"{table}\n")
    assert scores[0].split()[:5] == ["task", "split", "N", "checkpoints", "exact_match"]
    asked = [line.split("  ")[0].strip() for line in scores[1:]]
    assert asked == ["addition-2, plain, uniform_length", "addition-2, plain", "addition-2, plain"]
    assert pq.read_table(table).to_pylist() == rows(sweep / "runs" / "a")
    label = "addition-2-plain"
    made = {str(p.relative_to(sweep / "runs")) for p in sweep.rglob("evals/**/*") if p.is_file()}
    labels = (label, "addition-2-uniform_length-plain")
    stems = [f"a/evals/{where}{name}" for where in ("", "step-40/") for name in labels]
    assert made == {f"{stem}.{kind}" for stem in stems for kind in ("json", "parquet")}


def test_averaged_weights_are_asked_beside_the_last_checkpoint(tmp_path: Path, capsys) -> None:
    record = save_run(tmp_path / "runs" / "a", OPTIONS)
    write_record(tmp_path / "runs" / "a", dataclasses.replace(record, loss_ema=1.25))
    save_checkpoint(RunPaths(tmp_path / "runs" / "a").averaged, seed=7)
    asked = EvalConfig(target=str(tmp_path), n_items=20, n_seen=0, n_by_length=0)
    assert main(asked, []) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in printed[2:-1]] == [
        "addition-2, plain",
        "addition-2, plain, averaged weights",
    ]
    table = pq.read_table(tmp_path / "evals.parquet").to_pandas()
    losses = table.groupby("weights").loss.unique()
    assert losses["trained"] == [1.5] and losses["ema"] == [1.25]
    assert len(trained_alone(table)) == len(table) / 2
    older = table.drop(columns="weights")
    assert trained_alone(older) is older


def test_rows_are_complete_rows_of_evals_parquet(sweep: Path) -> None:
    found = rows(sweep / "runs" / "a")
    assert all(sorted(row) == sorted(SCHEMA.names) for row in found)
    assert {row["split"] for row in found} == {"heldout", "seen"}
    final = [row for row in found if row["step"] == 100]
    middle = [row for row in found if row["step"] == 40]
    assert {(row["n_tokens"], row["loss"]) for row in final} == {(64000, 1.5)}
    assert {(row["n_tokens"], row["loss"]) for row in middle} == {(25600, 42.0)}
    assert middle[0]["flops"] == pytest.approx(0.4 * final[0]["flops"])
    whole = [r for r in final if r["metric"] == "exact_match" and r["target_length"] is None]
    assert {(row["task"], row["operands"], row["split"], row["n_items"]) for row in whole} == {
        ("addition-2", "uniform_value", "heldout", 60),
        ("addition-2", "uniform_value", "seen", 30),
        ("addition-2", "uniform_length", "heldout", 20),
    }
    assert rows(sweep / "runs" / "b") == []


def test_a_run_on_a_codebook_of_several_lengths_is_asked_each(tmp_path: Path) -> None:
    options = {"length": 4, "n_keys": 20, "lengths": "uniform_length", "seed": 5}
    run_dir = tmp_path / "runs" / "a"
    save_run(run_dir, options, kind="codebook", alphabet="abcdefgh0123456789= \n")
    assert main(EvalConfig(target=str(tmp_path), n_items=50, n_seen=10, n_by_length=40), []) == 0
    whole = [r for r in rows(run_dir) if r["metric"] == "exact_match" and not r["target_length"]]
    assert {(r["task"], r["operands"], r["split"], r["n_items"]) for r in whole} == {
        ("codebook-20-L4", "", "heldout", 50),
        ("codebook-20-L4", "uniform_length", "heldout", 40),
        ("codebook-20-L4", "uniform_length", "seen", 10),
    }
    task = {"task": "codebook", "length": 4, "n_keys": 20}
    assert main(EvalConfig(target=str(tmp_path), task=task, n_items=50, n_seen=10), []) == 0


def test_seen_items_are_the_run_s_own_training_items(sweep: Path) -> None:
    path = sweep / "runs" / "a" / "evals" / "addition-2-plain.parquet"
    seen = read_outcomes(path, "plain")["seen"]
    own = training_items(TaskSpec(digits=2), 30, seed=3)
    assert [(o.prompt, o.target) for o in seen] == [(i.prompt, i.target) for i in own]


def test_equal_requests_are_answered_from_disk(sweep: Path, monkeypatch) -> None:
    (target, _) = run_targets(sweep / "runs" / "a")
    eval_set = generated_set(TaskSpec(digits=2), 60, 3, 30)
    loads = []
    real = run.load_checkpoint
    monkeypatch.setattr(run, "load_checkpoint", lambda *a: loads.append(a) or real(*a))
    (path,) = evaluate_set(target, [eval_set], GenerationSettings())
    assert not loads
    before = path.read_text()
    evaluate_set(target, [eval_set], GenerationSettings(batch_tokens=64))
    assert not loads, "the batch size changes no number"
    evaluate_set(target, [eval_set], GenerationSettings(), again=True)
    assert len(loads) == 1
    path.write_text("{ torn")
    evaluate_set(target, [eval_set], GenerationSettings())
    assert len(loads) == 2
    assert json.loads(path.read_text())["rows"] == json.loads(before)["rows"]
    save_checkpoint(Path(target.checkpoint), seed=9)
    evaluate_set(target, [eval_set], GenerationSettings())
    assert len(loads) == 3, "other weights are another checkpoint"


def test_rescoring_needs_no_model_and_gives_the_same_numbers(sweep: Path, monkeypatch) -> None:
    path = sweep / "runs" / "a" / "evals" / "step-40" / "addition-2-plain.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(before | {"rows": []}))
    monkeypatch.setattr(run, "load_checkpoint", lambda *a: pytest.fail("loaded a model"))
    rescore(path)
    assert json.loads(path.read_text()) == before
    assert main(EvalConfig(target=str(sweep), rescore=True), []) == 0
    assert json.loads(path.read_text()) == before


def test_outcomes_survive_the_disk(tmp_path: Path) -> None:
    full = Outcome(
        "p", "t", (1, 2), "t", ("u",), (-0.1, -0.2, -0.3), (True, False, True), "question", " t",
        (1,), -0.5, True, ("t", "u"), (1.0, 0.0), (-1.0, -2.0), ("a", "b"), (True, False), 0.25,
    )  # fmt: skip
    bare = Outcome("p", "t", (1,), layout="question")
    write_outcomes(tmp_path / "x.parquet", {"heldout": [full, bare], "seen": [bare]})
    assert read_outcomes(tmp_path / "x.parquet", "question") == {
        "heldout": [full, bare],
        "seen": [bare],
    }
    with pytest.raises(RecordError, match="overwrite=true"):
        read_outcomes(tmp_path / "none.parquet", "plain")


def test_names_are_no_markup_and_send_nothing_to_the_terminal(tmp_path: Path, capsys) -> None:
    """A task is called what its file is called, in whoever's results."""
    checkpoint = save_checkpoint(tmp_path / "model")
    path = tmp_path / "[bold] [1m \x1b[2J.jsonl"
    path.write_text('{"prompt": "1+1=", "target": "2"}\n')
    out = str(tmp_path / "out")
    task = {"task": "file"}
    config = EvalConfig(target=str(checkpoint), task=task, path=str(path), out=out)
    assert main(config, []) == 0
    summary = json.loads(next(Path(out).glob("*.json")).read_text())
    assert summary["task"] == path.stem
    printed = capsys.readouterr()
    assert r"[bold] [1m \x1b[2J, file" in printed.out
    assert "\x1b" not in printed.out + printed.err


def test_a_checkpoint_by_name_and_a_file(tmp_path: Path, capsys) -> None:
    checkpoint = save_checkpoint(tmp_path / "model")
    path = tmp_path / "qa.jsonl"
    path.write_text('{"prompt": "1+1=", "target": "2"}\n')
    config = EvalConfig(
        target=str(checkpoint), task={"task": "file"}, path=str(path), out=str(tmp_path / "out")
    )
    assert main(config, []) == 0
    heading, line, where = capsys.readouterr().out.splitlines()
    assert heading.split()[:5] == ["task", "split", "N", "checkpoints", "exact_match"]
    assert line.split()[:6] == ["qa,", "file", "test", "-", "1", "0"]
    assert where == str(tmp_path / "out" / "qa.json")
    content = json.loads((tmp_path / "out" / "qa.json").read_text())
    assert content["counts"]["test"]["n_items"] == 1
    assert content["run_id"] is None


def test_a_task_that_a_run_was_not_trained_on_needs_consent(sweep: Path, capsys) -> None:
    asked = {"task": "copy", "letters": 3}
    with pytest.raises(TaskError, match="no run under"):
        main(EvalConfig(target=str(sweep), task=asked, n_items=5), [])
    assert "was not trained on copy; allow_untrained=true" in capsys.readouterr().err
    assert main(EvalConfig(target=str(sweep), task=asked, n_items=5, allow_untrained=True), []) == 1
    assert "vocabulary has no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "nothing to evaluate"),
        ({"target": "b"}, "needs a task"),
        ({"target": "a", "path": "x.json"}, "go together"),
        ({"target": "a", "n_items": 0}, "n_items=0"),
        ({"target": "/nowhere"}, "has no runs"),
        ({"target": "/nowhere", "rescore": True}, "no stored answers"),
        ({"target": "b", "task": {"task": "addition", "dig": 2}}, "dig"),
    ],
)
def test_bad_requests_are_one_clear_line(fields: dict, message: str) -> None:
    with pytest.raises((TaskError, StoreError), match=message) as caught:
        main(EvalConfig(**fields), [])
    assert "\n" not in str(caught.value)


def test_a_run_without_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no finished checkpoint"):
        run_targets(tmp_path)


def test_a_target_outside_any_run_keeps_its_own_directory(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "model")
    target = CheckpointRef(str(checkpoint), tmp_path / "out")
    (path,) = evaluate_set(target, [generated_set(TaskSpec(digits=1), 20)], GenerationSettings())
    assert path == tmp_path / "out" / "addition-1-plain.json"
    assert set(json.loads(path.read_text())["counts"]) == {"heldout"}


@pytest.mark.parametrize("sums", [True, False], ids=["with checksums", "of an earlier release"])
def test_a_torn_checkpoint_ends_its_own_evaluation_alone_and_is_named(
    tmp_path: Path, capsys, sums: bool
) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        save_run(tmp_path / "runs" / name, OPTIONS, seed=seed)
    torn = tmp_path / "runs" / "b" / "checkpoint"
    if sums:
        write_checksums(torn)
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main(EvalConfig(target=str(tmp_path), n_items=20, n_seen=0, n_by_length=0), []) == 1
    printed = capsys.readouterr()
    assert "2 checkpoints evaluated" in printed.out
    assert f"failed: 1 ({torn})" in printed.err
    assert ("model.safetensors is not as it was written" in printed.err) == sums
    assert sorted(p.parts[-3] for p in tmp_path.rglob("evals/*.json")) == ["a", "c"]
