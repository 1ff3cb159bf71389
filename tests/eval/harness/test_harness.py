"""Benchmarks by name: our model class against the harness's own, request by request, offline."""

import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from eval.__main__ import COMMAND, EvalConfig, main, shots_option, task_option
from eval.evaluate import CheckpointRef
from eval.harness.ask import NamedTasks, ask_named, named_tasks, results_of
from eval.harness.rows import rows_of
from eval.lm.load import load_checkpoint
from eval.lm.responses import GenerationSettings
from eval.tasks.generated import TaskError
from tests.support.harness_tasks import KINDS, write_tasks
from tests.support.tiny_checkpoint import save_checkpoint
from train.commands.command_line import translate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness (extra lm-eval) is not installed")

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

NAMES = tuple(f"digits_{kind}" for kind in KINDS)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory):
    """No hub, and a cache of data sets of its own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HF_HUB_OFFLINE", "1")
        patched.setenv("HF_DATASETS_OFFLINE", "1")
        import datasets

        patched.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("sets"))
        yield tmp_path_factory.mktemp("offline")


@pytest.fixture(scope="module")
def checkpoint(offline: Path) -> Path:
    return save_checkpoint(offline / "model", context=64)


@pytest.fixture(scope="module")
def tasks(offline: Path) -> Path:
    return write_tasks(offline / "tasks")


@pytest.fixture(scope="module")
def both(checkpoint: Path, tasks: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results of our model class and of the harness's own, in one process."""
    from lm_eval.models.huggingface import HFLM

    from eval.harness.model import HarnessModel

    whole = ("digits_generate", "digits_score", "digits_rolling", "digits_all")
    asked = NamedTasks(whole, include=str(tasks))
    model, vocab = load_checkpoint(str(checkpoint), "cpu")
    ours = results_of(HarnessModel(model, vocab, 4096), asked)
    theirs = results_of(
        HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=4), asked
    )
    return ours, theirs


def test_a_set_does_not_end_with_a_list_of_the_machine_s_packages(
    checkpoint: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd
) -> None:
    """The harness starts pip for it after every set, which took longer than the requests, and git,
    which printed "fatal: not a git repository"."""
    monkeypatch.chdir(tmp_path)
    from lm_eval import evaluator
    from torch.utils import collect_env

    from eval.harness.model import HarnessModel

    listed: list[str] = []
    monkeypatch.setattr(collect_env, "get_pretty_env_info", lambda: listed.append("pip") or "")
    own = evaluator.add_env_info
    model, vocab = load_checkpoint(str(checkpoint), "cpu")
    asked = NamedTasks(("digits_score",), include=str(tasks), limit=2)
    assert results_of(HarnessModel(model, vocab), asked)["samples"]["digits_score"]
    assert listed == []
    assert "fatal" not in capfd.readouterr().err
    assert evaluator.add_env_info is own, "the harness is left as it was"


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_agrees_with_the_harness_own_model(both, name: str) -> None:
    ours, theirs = (
        {one["doc_id"]: one["resps"] for one in found["samples"][name]} for found in both
    )
    assert len(ours) == 12
    for doc, responses in theirs.items():
        flat = [_numbers(responses), _numbers(ours[doc])]
        assert [type(value) for value in flat[0]] == [type(value) for value in flat[1]]
        for expected, found in zip(*flat, strict=True):
            same = expected == found if isinstance(expected, str) else None
            assert same or found == pytest.approx(expected, abs=1e-4, rel=1e-5), doc
    for metric, value in both[1]["results"][name].items():
        if isinstance(value, float):
            assert both[0]["results"][name][metric] == pytest.approx(value, rel=1e-5), metric


def _numbers(responses: Any) -> list[float | str]:
    """Texts as they are; numbers and truth values, which the harness writes as text, as floats."""
    if isinstance(responses, list | tuple):
        return [value for one in responses for value in _numbers(one)]
    if isinstance(responses, str):
        if responses in ("True", "False"):
            return [float(responses == "True")]
        try:
            return [float(responses)] if "." in responses else [responses]
        except ValueError:
            return [responses]
    return [float(responses)]


def test_rows_hold_shots_errors_and_the_chance_of_each_item(both) -> None:
    rows = {(row["task"], row["metric"]): row for row in rows_of(both[0])}
    choices = rows["digits_choices", "acc"]
    chance = sum(1 / (2 + i % 3) for i in range(12)) / 12
    assert choices["chance"] == pytest.approx(chance)
    assert (choices["n_items"], choices["n_shots"], choices["format"]) == (12, 0, "lm_eval")
    assert choices["ci_high"] - choices["value"] == pytest.approx(
        1.96 * choices["stderr"], rel=1e-4
    )
    assert rows["digits_shots", "acc"]["n_shots"] == 2
    assert rows["digits_shots", "brier_score"]["chance"] is None
    assert rows["digits_generate", "exact_match"]["chance"] is None
    group = rows["digits_all", "acc"]
    assert (group["n_items"], group["chance"]) == (24, pytest.approx((chance + 0.5) / 2))
    assert group["value"] == pytest.approx(both[1]["groups"]["digits_all"]["acc,none"])


def test_results_and_requests_are_stored_once(
    checkpoint: Path, tasks: Path, tmp_path: Path
) -> None:
    target = CheckpointRef(str(checkpoint), tmp_path)
    asked = [NamedTasks(("digits_choices",), k, str(tasks), limit=4) for k in (0, 2)]
    counted: list[int] = []
    paths = ask_named(target, asked, GenerationSettings(), "cpu", advance=counted.append)
    assert [path.name for path in paths] == [
        "lm_eval-digits_choices-0shot.json", "lm_eval-digits_choices-2shot.json",
    ]  # fmt: skip
    samples = pq.read_table(paths[0].with_suffix(".requests.parquet")).to_pylist()
    assert len(samples) == 4
    assert [len(one["responses"]) for one in samples] == [2, 3, 4, 2]
    assert json.loads(samples[0]["metrics"])["acc"] in (0, 1)
    before, asked_before = paths[0].read_bytes(), sum(counted)
    assert asked_before == 2 * 11
    ask_named(target, asked, GenerationSettings(), "cpu", advance=counted.append)
    assert (paths[0].read_bytes(), sum(counted)) == (before, asked_before)
    with (tasks / "choices.yaml").open("a") as file:
        file.write("# changed\n")
    ask_named(target, asked[:1], GenerationSettings(), "cpu", advance=counted.append)
    assert sum(counted) == 3 * 11


def test_the_command_line_asks_named_benchmarks(
    checkpoint: Path, tasks: Path, tmp_path: Path, capsys
) -> None:
    task = {"task": "lm_eval", "names": ["digits_score"], "n_shots": [0], "include": str(tasks)}
    config = EvalConfig(target=str(checkpoint), task=task, out=str(tmp_path), device="cpu")
    assert main(config, []) == 0
    printed = capsys.readouterr().out
    assert "digits_score, lm_eval" in printed
    (path,) = tmp_path.glob("*.json")
    assert {row["metric"] for row in json.loads(path.read_text())["rows"]} == {"acc", "perplexity"}


def test_turns_of_a_chat_are_those_of_the_harness_own_model(
    checkpoint: Path, tasks: Path, tmp_path: Path
) -> None:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from eval.harness.model import HarnessModel

    name = str(shutil.copytree(checkpoint, tmp_path / "chat"))
    tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}+{% endfor %}"
    tokenizer.save_pretrained(name)
    asked = NamedTasks(("digits_shots", "digits_generate"), include=str(tasks))
    settings = GenerationSettings(chat_template=True, system_prompt="7+7=")
    model, vocab = load_checkpoint(name, "cpu")
    ours = results_of(HarnessModel(model, vocab), asked, settings)
    theirs = results_of(HFLM(pretrained=name, device="cpu", dtype="float32"), asked, settings)
    for task, samples in theirs["samples"].items():
        for one, other in zip(ours["samples"][task], samples, strict=True):
            contexts = [context for context, _ in one["arguments"]]
            assert {context.count("7+7=+") for context in contexts} == {1}
            assert contexts == [context for context, _ in other["arguments"]]
            assert _numbers(one["resps"]) == [
                value if isinstance(value, str) else pytest.approx(value, abs=1e-4, rel=1e-5)
                for value in _numbers(other["resps"])
            ]


def test_what_can_t_be_asked_is_one_line(
    checkpoint: Path, tasks: Path, tmp_path: Path, monkeypatch
) -> None:
    from lm_eval.tasks import TaskManager

    # To index the harness's own thousands of tasks takes half a minute.
    monkeypatch.setattr(
        "eval.harness.ask._task_manager",
        lambda asked: TaskManager(include_path=asked.include, include_defaults=False),
    )
    target, settings = CheckpointRef(str(checkpoint), tmp_path), GenerationSettings()
    with pytest.raises(TaskError, match="has no task nothing_such"):
        ask_named(target, [NamedTasks(("nothing_such",), include=str(tasks))], settings, "cpu")
    text = (tasks / "generate.yaml").read_text()
    bad = tmp_path / "bad"
    bad.mkdir()
    for name, old, new, message in (
        ("digits_sampling", "do_sample: false", "do_sample: true", "samples its outputs"),
        ("digits_long", "max_gen_toks: 12", "max_gen_toks: 64", "decodes up to 64"),
    ):
        changed = text.replace("digits_generate", name).replace(old, new)
        (bad / f"{name}.yaml").write_text(changed)
        with pytest.raises(TaskError, match=message):
            ask_named(target, [NamedTasks((name,), include=str(bad))], settings, "cpu")
    assert list(tmp_path.glob("*.json")) == []


def test_words_of_the_command_line() -> None:
    assert task_option("lm_eval:hellaswag,arc_easy") == [
        "task=lm_eval",
        "task.names=[hellaswag,arc_easy]",
    ]
    assert shots_option("0,5") == ["task.n_shots=[0,5]"]
    words = translate(COMMAND, ["DIR", "task=lm_eval:piqa", "n_shots=5"]).overrides
    assert words == ["task=lm_eval", "task.names=[piqa]", "task.n_shots=[5]", "target=DIR"]
    sets = named_tasks({"task": "lm_eval", "names": ["a"], "n_shots": [0, 5]})
    assert [one.n_shots for one in sets] == [0, 5]
    with pytest.raises(TaskError, match="has no names"):
        named_tasks({"task": "lm_eval"})
    with pytest.raises(TaskError, match="must be numbers from 0"):
        named_tasks({"task": "lm_eval", "names": ["a"], "n_shots": [-1]})
    assert len(NamedTasks(tuple(f"task_{i}" for i in range(99))).label) < 100
    assert math.isfinite(len(NamedTasks(("mmlu/x",)).label))
