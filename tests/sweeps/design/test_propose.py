"""A sweep is simulated, fitted, and asked what to run next; the answer is launched as it is."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from analysis.__main__ import fitted
from analysis.config import AnalysisConfig
from analysis.studies.fit_config import FitConfig
from analysis.studies.fits_json import fits_json
from sweeps.__main__ import main
from sweeps.design.propose import ProposalError, next_runs
from sweeps.plan.plan import make_plan
from sweeps.spec.config import SweepConfig
from sweeps.spec.stored import stored_config
from train.config.cli import load_config
from train.config.spec import IsoflopError
from train.rundir.atomic import read_json, write_json
from train.rundir.sweep_layout import run_dirs


def run(*overrides: str) -> int:
    return main(load_config("sweep", list(overrides), SweepConfig), list(overrides))


def fit(root: Path) -> dict:
    config = AnalysisConfig(
        sweeps=[str(root)], fit=FitConfig(n_resamples=0, approaches=["isoflop", "parametric"])
    )
    _, study, advice = fitted(config)
    content = fits_json(study, advice)
    write_json(root / "analysis" / "fits.json", content)
    return content


SURFACE = {"E": 0.9, "A": 25.0, "B": 140.0, "alpha": 0.35, "beta": 0.4}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A directory with a text and a simulated sweep, whose largest budget lacks larger sizes.

    All paths are relative to it, so that runs have the same ids, and the same noise, every time.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        lines = (f"{i} times {i + 7} is {i * (i + 7)}.\n" for i in range(170_000))
        Path("text.txt").write_text("".join(lines))
        Path("truth.json").write_text(
            json.dumps({"parametric": SURFACE, "cost": {"k": 6.0, "gamma": 1.0}})
        )
        run(
            *("sweep=empty", "sweep.name=small", "launcher=simulate", "out=sweep"),
            *("data=text", "data.parts.text.options.files=[text.txt]", "data.val_tokens=4096"),
            *("model.seq_len=32", "optim.batch_tokens=512", "schedule=wsd"),
            *("sweep.grids.low.kind=isoflop", "sweep.grids.low.budgets=[3e9,1e10]"),
            *("sweep.grids.low.d_models=[4,8,12,16,20,24]", "sweep.surface=truth.json"),
            *("sweep.grids.high.kind=isoflop", "sweep.grids.high.budgets=[1e11]"),
            *("sweep.grids.high.d_models=[8,12,16]", "sweep.noise=0.003"),
        )
        fit(Path("sweep"))
    return home


@pytest.fixture
def sweep(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sweep to work on."""
    monkeypatch.chdir(built)
    return Path(shutil.copytree(built / "sweep", tmp_path / "sweep"))


def propose(sweep: Path, *overrides: str) -> None:
    given = ["action=propose", f"out={sweep}", "budget=1e12", *overrides]
    next_runs(load_config("sweep", given, SweepConfig), Console(width=140))


def test_the_proposal_is_launched_as_it_is_and_closes_what_was_open(sweep, capsys):
    before = fit(sweep)
    top = before["isoflop"]["budgets"][-1]
    assert not top["bracketed"] and top["propose_n_params"]
    names = {path.name for path in run_dirs(sweep)}
    propose(sweep)
    printed = capsys.readouterr().out
    assert "what to run next" in printed
    preset = sweep / "analysis" / "proposal.yaml"
    assert printed.splitlines()[-1] == str(preset)
    assert run(f"preset={preset}") == 0
    after = {path.name for path in run_dirs(sweep)}
    assert names < after
    new = [name for name in after - names if name.startswith("bracket-1e11")]
    assert new
    again = fit(sweep)
    assert again["n_runs"] == len(after)
    assert again["isoflop"]["budgets"][-1]["n_runs"] > top["n_runs"]


def test_new_runs_are_on_the_base_of_the_fitted_ones(sweep):
    propose(sweep)
    config = load_config("sweep", [f"preset={sweep / 'analysis' / 'proposal.yaml'}"], SweepConfig)
    assert config.schedule.name == "wsd"
    assert config.optim.batch_tokens == 512
    assert config.launcher.kind == "simulate"
    assert config.root == sweep
    assert set(config.sweep.grids) > {"low", "high"}


def test_a_proposal_trains_no_fitted_run_again_whatever_its_heads(sweep):
    """Its sweep.yaml says by which rule; one of an earlier release does not, which is by width."""
    stored = sweep / "sweep.yaml"
    text = stored.read_text()
    assert "head_rule: ladder" in text
    for wanted, content in (("ladder", text), ("width", text.replace("  head_rule: ladder\n", ""))):
        stored.write_text(content)
        fitted = {run.run_id for run in make_plan(stored_config(sweep)).runs}
        propose(sweep)
        given = [f"preset={sweep / 'analysis' / 'proposal.yaml'}"]
        config = load_config("sweep", given, SweepConfig)
        assert config.sweep.head_rule == wanted
        assert fitted < {run.run_id for run in make_plan(config).runs}


def test_proposing_again_before_launching_proposes_the_same(sweep):
    propose(sweep)
    first = (sweep / "analysis" / "proposal.yaml").read_text()
    propose(sweep)
    assert (sweep / "analysis" / "proposal.yaml").read_text() == first


def test_json_says_what_and_why(sweep, capsys):
    propose(sweep, "format=json")
    content = json.loads(capsys.readouterr().out)
    assert content["proposals"][0]["kind"] == "bracket"
    assert content["proposals"][0]["reason"]
    assert content["n_new_runs"] > 0


def changed(sweep: Path, **changes) -> None:
    path = sweep / "analysis" / "fits.json"
    write_json(path, {**read_json(path), **changes})


def test_a_foreign_table_is_not_launched(sweep, tmp_path):
    (tmp_path / "foreign").mkdir()
    content = {**read_json(sweep / "analysis" / "fits.json"), "sources": ["runs.csv"]}
    write_json(tmp_path / "foreign" / "fits.json", content)
    with pytest.raises(ProposalError, match=r"runs\.csv, which holds no specs"):
        propose(tmp_path / "foreign")


def test_one_sweep_under_the_exact_count(sweep):
    changed(sweep, counting="6nd")
    with pytest.raises(ProposalError, match="counting=exact"):
        propose(sweep)
    changed(sweep, counting="exact", sources=[str(sweep), str(sweep)])
    with pytest.raises(ProposalError, match="2 sweeps"):
        propose(sweep)


def test_nothing_to_run_says_why(sweep):
    isoflop = {"budgets": [], "status": "degenerate"}
    changed(sweep, isoflop=isoflop, parametric={"status": "degenerate", "reason": "too few"})
    with pytest.raises(ProposalError, match=r"parametric fit is degenerate \(too few\)"):
        propose(sweep)


def test_an_unfitted_sweep_says_how_to_fit_it(sweep):
    (sweep / "analysis" / "fits.json").unlink()
    with pytest.raises(IsoflopError, match="isoflop analyze "):
        propose(sweep)


def test_fits_older_than_the_runs_are_told(sweep, capsys):
    changed(sweep, n_runs=3)
    propose(sweep)
    assert "runs are finished and 3 are fitted" in capsys.readouterr().out


def test_a_strangers_sweep_gives_no_commands_and_resolves_nothing(sweep, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_MINE", "s3cret")
    path = sweep / "sweep.yaml"
    config = yaml.safe_load(path.read_text())
    config["launcher"] |= {"setup": ["echo ${oc.env:A_SECRET_OF_MINE}"], "env": {"X": "1"}}
    path.write_text(yaml.safe_dump(config))
    propose(sweep)
    written = (sweep / "analysis" / "proposal.yaml").read_text()
    assert "s3cret" not in written and "setup" not in written and "env:" not in written
    config["optim"]["name"] = "${oc.env:A_SECRET_OF_MINE}"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(IsoflopError, match="interpolation") as caught:
        propose(sweep)
    assert "s3cret" not in str(caught.value)
