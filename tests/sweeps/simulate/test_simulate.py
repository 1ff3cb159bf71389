"""Sweeps whose losses are drawn from a surface: their records, and that they never mix."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.data.loss_table import TableError, select
from analysis.data.readers import read_sweeps
from analysis.sections.recovery import recoveries
from analysis.studies.fit_config import FitConfig
from analysis.studies.known_surfaces import BESIROGLU, SEED_NOISE, TRUTHS
from analysis.studies.study import run_study
from sweeps.__main__ import main
from sweeps.directory.record_check import checked_record
from sweeps.simulate.simulate import SimulationError, named_truth
from sweeps.simulate.simulated_runs import UNANNEALED, Simulation, curve, deviations, losses
from sweeps.spec.config import SweepConfig
from tests.support.sweep_fixtures import expansion, finish, grid
from train.config.cli import load_config
from train.config.resolve import DataInfo
from train.config.spec import SpecError
from train.rundir.atomic import read_jsonl
from train.rundir.record import read_job
from train.rundir.sweep_layout import run_dirs

SIMULATION = Simulation("besiroglu", BESIROGLU, noise=0.01)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{i} times {i + 7} is {i * (i + 7)}.\n" for i in range(17_000)))
    return path


def command(text: Path, out: Path, *overrides: str) -> list[str]:
    return [
        *("sweep=isoflop", "data=text", f"data.parts.text.options.files=[{text}]"),
        *("sweep.grids.isoflop.d_models=[8,12,16,24]", "sweep.grids.isoflop.budgets=[1e9,2e9]"),
        *("model.seq_len=32", "optim.batch_tokens=512", "data.val_tokens=4096"),
        *("launcher=simulate", f"out={out}", *overrides),
    ]


def run(text: Path, out: Path, *overrides: str) -> int:
    given = command(text, out, *overrides)
    return main(load_config("sweep", given, SweepConfig), given)


def test_records_are_ordinary_and_marked(text, tmp_path):
    out = tmp_path / "simulated"
    assert run(text, out) == 0
    directories = run_dirs(out)
    assert len(directories) == 8
    for run_dir in directories:
        record = checked_record(run_dir)
        assert record is not None
        assert record.status == "finished"
        assert record.simulated == f"besiroglu, noise {SEED_NOISE:g}"
        assert read_job(run_dir).run_id == record.run_id
        rows = read_jsonl(run_dir / "metrics.jsonl")
        assert rows[-1]["loss"] == pytest.approx(record.loss)
        assert rows[-1]["n_tokens"] == record.n_tokens
        assert rows[-1]["flops"] == pytest.approx(record.flops)
    runs = pq.read_table(out / "runs.parquet")
    assert set(runs["simulated"].to_pylist()) == {f"besiroglu, noise {SEED_NOISE:g}"}
    assert pq.read_table(out / "curves.parquet").num_rows > 8


def test_the_report_says_that_nothing_was_trained(text, tmp_path):
    run(text, tmp_path / "simulated")
    table = read_sweeps([tmp_path / "simulated"])
    assert any("Nothing was trained" in warning for warning in table.warnings)


def test_a_second_simulation_adds_what_is_new_and_leaves_the_rest(text, tmp_path):
    out = tmp_path / "simulated"
    run(text, out)
    before = {path.name: (path / "record.json").read_text() for path in run_dirs(out)}
    assert run(text, out, "sweep.seeds=[0,1]") == 0
    after = {path.name: (path / "record.json").read_text() for path in run_dirs(out)}
    assert len(after) == 16
    assert before.items() <= after.items()


def test_a_deleted_record_is_drawn_again(text, tmp_path):
    out = tmp_path / "simulated"
    run(text, out)
    path = run_dirs(out)[3] / "record.json"
    before = json.loads(path.read_text())
    path.unlink()
    run(text, out)
    assert json.loads(path.read_text()) == before


@pytest.mark.parametrize(
    "change", ["sweep.surface=hoffmann", "sweep.noise=0.1", "sweep.undertuning=0.1"]
)
def test_one_directory_holds_one_simulation(text, tmp_path, change):
    run(text, tmp_path / "simulated")
    with pytest.raises(SimulationError, match="was simulated with another"):
        run(text, tmp_path / "simulated", change)


@pytest.mark.parametrize("action", ["launch", "retry"])
def test_nothing_is_trained_where_runs_are_simulated(text, tmp_path, action):
    run(text, tmp_path / "simulated")
    with pytest.raises(SimulationError, match="holds simulated runs"):
        run(text, tmp_path / "simulated", "launcher=inline", f"action={action}")


def test_nothing_is_simulated_where_runs_are_trained(text, tmp_path):
    run(text, tmp_path / "trained")
    (tmp_path / "trained" / "simulation.json").unlink()
    with pytest.raises(SimulationError, match="never mix"):
        run(text, tmp_path / "trained")


def test_trained_and_simulated_runs_are_not_fitted_together(text, tmp_path):
    for name in ("simulated", "trained"):
        run(text, tmp_path / name)
    (tmp_path / "trained" / "simulation.json").unlink()
    for run_dir in run_dirs(tmp_path / "trained"):
        finish(run_dir, read_job(run_dir))
    given = command(text, tmp_path / "trained", "action=collect")
    main(load_config("sweep", given, SweepConfig), given)
    with pytest.raises(TableError, match="2 origins"):
        read_sweeps([tmp_path / "simulated", tmp_path / "trained"])


def test_a_surface_without_its_launcher_is_refused(text, tmp_path):
    with pytest.raises(SimulationError, match="launcher=simulate"):
        run(text, tmp_path / "trained", "launcher=inline", "sweep.surface=besiroglu")
    assert not (tmp_path / "trained").exists()


def test_an_unknown_surface_lists_the_known(text, tmp_path):
    with pytest.raises(SimulationError, match=r"hoffmann, besiroglu, coupled, kaplan"):
        run(text, tmp_path / "simulated", "sweep.surface=hofmann")
    assert not (tmp_path / "simulated").exists()


def test_noise_is_a_share(text, tmp_path):
    with pytest.raises(SpecError, match=r"sweep\.noise=-0\.1"):
        run(text, tmp_path / "simulated", "sweep.noise=-0.1")


def test_a_fit_is_a_surface_with_its_own_noise(tmp_path):
    fits = {
        "parametric": {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.4, "beta": 0.5},
        "cost": {"k": 30.0, "gamma": 0.9},
        "isoflop": {"noise": 0.012},
    }
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "fits.json").write_text(json.dumps(fits))
    for place in (tmp_path, tmp_path / "analysis", tmp_path / "analysis" / "fits.json"):
        truth, noise = named_truth(str(place))
        assert truth.loss(1.0, 1.0) == 6.0
        assert noise == 0.012


@pytest.mark.parametrize("name", TRUTHS)
def test_losses_scatter_about_the_surface(name):
    runs = expansion(seeds=range(200), iso=grid(d_models=[16, 32])).runs
    simulation = dataclasses.replace(SIMULATION, surface=name, truth=TRUTHS[name])
    n, d = (np.array([getattr(run, x) for run in runs], float) for x in ("n_params", "n_tokens"))
    deviation = np.log(losses(simulation, runs) / TRUTHS[name].loss(n, d))
    assert deviation.std() == pytest.approx(0.01, rel=0.1)
    assert deviation.mean() == pytest.approx(0, abs=0.001)


def test_noise_belongs_to_the_run():
    ids = [run.run_id for run in expansion(seeds=range(4), iso=grid()).runs]
    assert deviations(ids, 0.1) == pytest.approx(deviations(ids[::-1], 0.1)[::-1])
    assert len(np.unique(deviations(ids, 0.1))) == len(ids)
    assert np.all(deviations(ids, 0.0) == 0)


def test_undertuning_falls_from_the_smallest_size_to_the_largest():
    sizes = np.array([1e4, 1e5, 1e6, 1e7])
    tuned = Simulation("besiroglu", BESIROGLU, 0.0, 0.2, (1e4, 1e6))
    ratio = tuned.loss(sizes, np.full(4, 1e8)) / BESIROGLU.loss(sizes, 1e8)
    assert ratio == pytest.approx([1.2, 1.1, 1.0, 1.0])


def test_a_curve_lies_above_the_surface_until_its_end():
    run = expansion(iso=grid()).runs[0]
    simulation = dataclasses.replace(SIMULATION, noise=0.0)
    loss = float(losses(simulation, [run])[0])
    rows = curve(simulation, run, loss)
    for row in rows:
        left = 1 - row["n_tokens"] / run.n_tokens
        expected = BESIROGLU.loss(run.n_params, row["n_tokens"]) * (1 + UNANNEALED * left)
        assert row["loss"] == pytest.approx(expected)


def test_simulating_needs_no_torch(text, tmp_path):
    given = command(text, tmp_path / "simulated")
    code = (
        "import sys; from sweeps.__main__ import main; from sweeps.spec.config import SweepConfig; "
        "from train.config.cli import load_config; given = sys.argv[1:]; "
        "assert main(load_config('sweep', given, SweepConfig), given) == 0; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, *given], check=False).returncode == 0


def test_the_demos_grid_recovers_the_exponents_of_its_surface(tmp_path, monkeypatch):
    def known(data, seq_len):
        return DataInfo("f" * 16, 257, dict.fromkeys(data.parts))

    monkeypatch.setattr("sweeps.plan.data_info.describe", known)
    out = tmp_path / "demo"
    given = ["preset=demo", "launcher=simulate", "sweep.surface=besiroglu", f"out={out}"]
    assert main(load_config("sweep", given, SweepConfig), given) == 0
    config = FitConfig(n_resamples=200, approaches=["isoflop", "parametric"])
    found = recoveries(run_study(select(read_sweeps([out])), config))
    assert found is not None
    rows, _ = found
    assert {row.quantity for row in rows if row.held} == {"a", "b", "alpha", "beta", "E"}
    assert all(row.held for row in rows)
