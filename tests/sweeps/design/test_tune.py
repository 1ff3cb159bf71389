"""`isoflop sweep tune`: its rounds with a trainer that knows the answer, killed and continued."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from analysis.data.readers import read_sweeps
from analysis.studies.tuning.study import study_tuning
from sweeps.design.tune import tune
from sweeps.launch.launch import INTERRUPTED_EXIT
from sweeps.manage.collect import collect
from sweeps.spec.config import SweepConfig
from sweeps.training import train_tasks
from tests.support.sweep_fixtures import record_of
from train.commands.console import DataConsole
from train.config.cli import load_config
from train.config.errors import SpecError
from train.config.flops import count_params
from train.config.rules.fitted import laws_of
from train.rundir.record import read_job, write_record

SIZES = (8, 16, 32, 64)


def best_rate(n_params: int, n_tokens: float) -> float:
    return 0.3 * n_params**-0.5 * (n_tokens / 1e5) ** 0.1


class Trainer:
    """Trains nothing: the loss is steep above a known best rate and flat below it."""

    def __init__(self, killed_after: int = 10**9) -> None:
        self.rates: list[float] = []
        self.killed_after = killed_after

    def __call__(self, config, tasks, n_runs, run_dirs, console) -> int:
        for task in tasks:
            if len(self.rates) == self.killed_after:
                return INTERRUPTED_EXIT
            job = read_job(task.run_dir)
            spec = job.spec
            n_params, tokens = count_params(spec.model).n_params, float(spec.horizon.n_tokens or 0)
            off = np.log((spec.optim.lr_peak or 0.0) / best_rate(n_params, tokens))
            made = record_of(job, loss=float(2 + 0.1 * off**2 + 0.01 * off**3))
            write_record(task.run_dir, made.__class__(**{**vars(made), "n_params": n_params}))
            self.rates.append(spec.optim.lr_peak or 0.0)
        collect(config.root)
        return 0


def configured(root: Path, *more: str) -> SweepConfig:
    widths = ",".join(map(str, SIZES))
    overrides = [
        "action=tune", f"out={root}", "sweep=empty", "sweep.name=tuning", "calibrate=false",
        "sweep.grids.g.kind=grid", f"sweep.grids.g.d_models=[{widths}]",
        "sweep.grids.g.n_tokens=[1e5,4e5]", "data.val_tokens=4096", "model.seq_len=32",
        "optim.batch_tokens=256", *more,
    ]  # fmt: skip
    return load_config("sweep", overrides, SweepConfig).settled()


def searched(root: Path, trainer, *more: str) -> tuple[int, str]:
    out = StringIO()
    status = tune(configured(root, *more), [], DataConsole(width=400, file=out), trainer)
    return status, out.getvalue()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> tuple[Path, Trainer, str]:
    root, trainer = tmp_path_factory.mktemp("tuning"), Trainer()
    status, said = searched(root, trainer)
    assert status == 0
    return root, trainer, said


def test_every_cell_is_located_and_the_laws_are_a_rule(tuned):
    root, trainer, said = tuned
    study = study_tuning(read_sweeps([root]))
    assert len(study.cells) == 2 * len(SIZES)
    for cell in study.cells:
        assert cell.lr == pytest.approx(best_rate(int(cell.n_params), cell.n_tokens), rel=0.1)
        assert f"({int(cell.n_params):,} parameters" in said
    assert len(trainer.rates) < 9 * len(study.cells)
    law = study.laws["lr"]
    assert law.n_exponent == pytest.approx(-0.5, abs=0.05)
    assert laws_of(root).startswith("laws:lr=")
    assert f"stands for {laws_of(root)}" in said
    assert said.count("trying lr_peak") > 2 * len(study.cells), "each step is printed"


def test_a_search_that_was_killed_trains_nothing_again(tuned, tmp_path, monkeypatch):
    monkeypatch.setattr("sweeps.design.tune._fit", lambda root, console: 0)
    first = Trainer(killed_after=20)
    assert searched(tmp_path, first)[0] == INTERRUPTED_EXIT
    second = Trainer()
    assert searched(tmp_path, second)[0] == 0
    whole = tuned[1].rates
    assert sorted(first.rates + second.rates) == sorted(whole)
    assert len(first.rates) == 20


@pytest.mark.slow
def test_real_training_is_searched(tmp_path):
    """One cell of one size: no law, which is said, and a best rate with a neighbour either side."""
    status, said = searched(
        tmp_path, train_tasks, "sweep.grids.g.d_models=[8]", "sweep.grids.g.n_tokens=[2e4]",
        "launcher=inline",
    )  # fmt: skip
    assert status == 0
    assert "best lr_peak" in said and "holds no tuning" not in said
    assert "no law of the learning rate: 1 of 1 cells" in said or "0 of 1 cells" in said
    assert len(read_sweeps([tmp_path])) >= 4


def test_a_dry_run_prints_the_first_rates_and_leaves_nothing(tmp_path):
    trainer = Trainer()
    status, said = searched(tmp_path / "none", trainer, "dry_run=true")
    assert (status, trainer.rates) == (0, [])
    assert said.count("would train lr_peak") == 2 * len(SIZES)
    assert not (tmp_path / "none").exists()


def test_a_grid_that_sweeps_rates_and_a_launcher_that_does_not_wait_are_refused(tmp_path):
    with pytest.raises(SpecError, match=r"sweep\.grids\.g\.lr_peak=\[0\.01\] is what tune"):
        searched(tmp_path, Trainer(), "sweep.grids.g.lr_peak=[0.01]")
    with pytest.raises(SpecError, match="got launcher=slurm"):
        searched(tmp_path, Trainer(), "launcher=slurm")
    with pytest.raises(SpecError, match="dry_run=true is for sweep tune, got launch"):
        configured(tmp_path, "dry_run=true", "action=launch")
