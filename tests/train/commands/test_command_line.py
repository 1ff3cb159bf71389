import pytest

import analysis.__main__
import eval.__main__
import sweeps.__main__
import train.__main__
from train.commands.command_line import is_override, text_override, translate
from train.config.cli import UsageError, load_config

TRAIN, SWEEP = train.__main__.COMMAND, sweeps.__main__.COMMAND
EVAL, ANALYZE = eval.__main__.COMMAND, analysis.__main__.COMMAND


@pytest.mark.parametrize(
    ("command", "words", "overrides"),
    [
        (TRAIN, "results/mine model=d64", ["model=d64", "out=results/mine"]),
        (SWEEP, "plan preset=demo", ["action=plan", "preset=demo"]),
        (SWEEP, "preset=demo status results/demo",
         ["action=status", "preset=demo", "out=results/demo"]),
        (SWEEP, "watch results/demo", ["action=status", "watch=true", "out=results/demo"]),
        (SWEEP, "retry results/demo status=oom,failed",
         ["action=retry", "status='oom,failed'", "out=results/demo"]),
        (SWEEP, "validate results/demo",
         ["preset=validate", "action=launch", "fit=results/demo"]),
        (SWEEP, "validate results/demo preset=mine.yaml",
         ["action=launch", "preset=mine.yaml", "fit=results/demo"]),
        (SWEEP, "plan ~sweep.grids.addition", ["action=plan", "~sweep.grids.addition"]),
        (EVAL, "results/demo", ["target=results/demo"]),
        (EVAL, "org/model-70m task=addition", ["task=addition", "target=org/model-70m"]),
        (ANALYZE, "a b", ["sweeps=[a,b]"]),
        (ANALYZE, "runs.csv fit=besiroglu", ["fit=besiroglu", "table.path=runs.csv"]),
        (ANALYZE, "wandb:org/project", ["table.path=wandb:org/project"]),
    ],
)  # fmt: skip
def test_words_become_overrides(command, words, overrides):
    translated = translate(command, words.split())
    assert translated.overrides == overrides
    assert translated.notices == []


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        (SWEEP, "preset=demo action=plan", "plan preset=demo"),
        (SWEEP, "preset=demo", "launch preset=demo"),
        (SWEEP, "action=retry only=oom out=a", "retry status=oom out=a"),
        (SWEEP, "action=clean only=state,logs out=a", "clean what=state,logs out=a"),
        (SWEEP, "plan preset=validate sweep_fit=a", "plan preset=validate fit=a"),
        (EVAL, "sweep=results/demo again=true", "results/demo overwrite=true"),
        (EVAL, "checkpoint=a task=copy untrained=true", "a task=copy allow_untrained=true"),
        (EVAL, "rescore=results/demo", "results/demo rescore=true"),
        (ANALYZE, "sweep=results/demo", "results/demo"),
        (ANALYZE, "sweep=[x/a,y/b]", "x/a y/b"),
        (ANALYZE, "table=runs.csv", "runs.csv"),
    ],
)
def test_earlier_spellings_mean_the_same_and_are_told_once_each(command, old, new):
    before, now = translate(command, old.split()), translate(command, new.split())
    assert sorted(before.overrides) == sorted(now.overrides)
    assert before.notices and not now.notices
    assert all("deprecated; write " in notice for notice in before.notices)


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (SWEEP, "lanuch preset=demo", "'lanuch' is not a verb; did you mean launch"),
        (SWEEP, "results/demo", "is not a verb; .*expected one of plan, launch"),
        (SWEEP, "action=lanuch", "action=lanuch is unknown; did you mean launch"),
        (SWEEP, "plan action=launch", "got the verbs launch and plan"),
        (SWEEP, "status a b", "expected one sweep's directory"),
        (EVAL, "a b", "expected one sweep or checkpoint"),
        (ANALYZE, "a.csv b", "expected one table"),
        (TRAIN, "a b", "expected one directory"),
        (TRAIN, "model.d_model 64", "model.d_model is a setting; write model.d_model=VALUE"),
    ],
)
def test_what_cannot_be_meant_is_an_error(command, words, message):
    with pytest.raises(UsageError, match=message):
        translate(command, words.split())


@pytest.mark.parametrize("path", ["a b", "it's", "x,y", "{a}", "back\\slash", "[1]", "plain/path"])
def test_any_directory_reaches_the_configuration_as_it_was_typed(path):
    for command, field in ((TRAIN, "out"), (SWEEP, "out"), (EVAL, "target")):
        words = ["status", path] if command.verbs else [path]
        words += ["task=addition"] if command is EVAL else []
        overrides = translate(command, words).overrides
        loaded = load_config(command.config_name, overrides, command.config)
        assert getattr(loaded, field) == path
    analysed = load_config(
        ANALYZE.config_name, translate(ANALYZE, [path, "b"]).overrides, ANALYZE.config
    )
    assert analysed.sweeps == [path, "b"]


def test_a_key_may_share_its_name_with_a_group_of_another_command():
    given = translate(SWEEP, ["plan", "preset=validate", "fit=results/demo"]).overrides
    assert load_config("sweep", given, SWEEP.config).fit == "results/demo"
    assert (
        load_config("analysis", ["sweeps=[a]", "fit=porian"], ANALYZE.config).fit.name == "porian"
    )


def test_deletions_and_additions_are_overrides_and_paths_are_not():
    assert all(map(is_override, ("a=1", "+a.b=1", "++a=b=c", "~a.b", "data@x.y=z", "a=")))
    assert not any(map(is_override, ("results/demo", "./a=b", "~/results", "runs.csv", "../x=1")))
    assert text_override("out", "a'b") == r"out='a\'b'"


def test_of_a_run_its_checkpoint_is_evaluated(tmp_path):
    for place in (tmp_path / "run", tmp_path / "model"):
        (place / "checkpoint").mkdir(parents=True)
        (place / "checkpoint" / "config.json").write_text("{}")
    (tmp_path / "run" / "spec.json").write_text("{}")
    for name, meant in (("run", "run/checkpoint"), ("model", "model"), ("none", "none")):
        overrides = translate(EVAL, [str(tmp_path / name), "task=addition"]).overrides
        loaded = load_config(EVAL.config_name, overrides, EVAL.config)
        assert loaded.target == str(tmp_path / meant)
