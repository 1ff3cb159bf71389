"""A rule, source or task works when only the file that CONTRIBUTING.md names has gained it."""

import pytest

import eval.__main__
import sweeps.__main__
import train.__main__
from eval.tasks import generated, word_tasks
from eval.tasks.generated import TaskSpec, heldout_items
from sweeps.plan.plan import make_plan
from train.commands.command_line import translate
from train.config.cli import UsageError, load_config
from train.config.hyperparameters import RULES, Hyperparameters
from train.data import sources
from train.data.text_files import FileSource


def configured(command, *words):
    return load_config(command.config_name, translate(command, words).overrides, command.config)


def test_a_new_rule(monkeypatch):
    monkeypatch.setitem(RULES, "mine", lambda scale: Hyperparameters(0.123, 1024, 0.0))
    words = ("model=d16", "data=arithmetic", "data.parts.addition.options.n_items=5000",
             "data.val_tokens=2048", "optim=mine")  # fmt: skip
    job = train.__main__.job_of(configured(train.__main__.COMMAND, *words, "horizon.n_tokens=2e4"))
    assert job.spec.optim.lr_peak == 0.123
    grid = ("sweep=grid", "sweep.grids.grid.n_tokens=[2e4]", "sweep.grids.grid.d_models=[16]")
    made = configured(sweeps.__main__.COMMAND, "plan", *words, *grid, "calibrate=false")
    assert [run.job.spec.optim.lr_peak for run in make_plan(made.settled()).runs] == [0.123]


def test_a_new_source(monkeypatch, tmp_path):
    (tmp_path / "text.txt").write_text("some words to learn from, and more of them\n" * 2000)
    source = FileSource("mine", (tmp_path / "text.txt",), "text", 2048)
    monkeypatch.setitem(sources.KINDS, "mine", lambda options, val_tokens: source)
    words = ("data=mine", "model=d16", "data.val_tokens=2048", "horizon.n_tokens=2e4")
    job = train.__main__.job_of(configured(train.__main__.COMMAND, *words))
    assert list(job.spec.data.parts) == ["mine"]


def test_a_new_task(monkeypatch):
    monkeypatch.setitem(word_tasks.TASKS, "mine", word_tasks.TASKS["copy"])
    monkeypatch.setattr(generated, "TASKS", (*generated.TASKS, "mine"))
    monkeypatch.setattr(eval.__main__, "TASKS", generated.TASKS)
    config = configured(eval.__main__.COMMAND, "model", "task=mine", "task.letters=4")
    assert config.task == {"task": "mine", "letters": 4}
    assert len(heldout_items(TaskSpec(**config.task), 5, seed=0)) == 5


def test_an_option_that_nothing_knows_is_refused():
    with pytest.raises(UsageError, match="optim=theirs is unknown; expected one of completep"):
        configured(train.__main__.COMMAND, "optim=theirs")
    with pytest.raises(UsageError, match="data=theirs is unknown"):
        configured(sweeps.__main__.COMMAND, "plan", "data=theirs")
    with pytest.raises(UsageError, match="task=theirs is unknown"):
        configured(eval.__main__.COMMAND, "model", "task=theirs")
