"""What may still be written: free space, and quotas where a command answers."""

import os
import shutil

import pytest

from sweeps.__main__ import main
from sweeps.directory.disk import room
from sweeps.launch.launch import require_room
from sweeps.plan.plan import Plan
from sweeps.spec.config import SweepConfig
from tests.support.sweep_fixtures import expansion, grid
from train.config.cli import load_config
from train.config.resolve import DataInfo
from train.rundir.sweep_layout import StoreError

QUOTA = """Disk quotas for user me (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      /dev/sda1  {used}  {soft}  {hard}       0     100       0       0       0
"""
LUSTRE = "         /lustre  {used}  {soft}  {hard}       -    1000       0       0       -"


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Installs a command that prints a text, on a PATH that has nothing else of its kind."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")

    def install(name, text, code=0):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        path.chmod(0o755)

    return install


def test_without_quotas_it_is_what_the_file_system_has(tmp_path, put):
    found = room(tmp_path / "not" / "yet")
    assert found is not None
    assert found.n_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert found.limit == f"free in {tmp_path}"


@pytest.mark.parametrize(
    ("name", "text", "used", "soft", "hard", "left"),
    [
        ("quota", QUOTA, "1000", 2000, 3000, 2000),
        ("quota", QUOTA, "1000", 2000, 0, 1000),
        ("quota", QUOTA, "3500*", 2000, 3000, 0),
        ("lfs", LUSTRE, "1000", 2000, 3000, 2000),
        ("lfs", LUSTRE, "[1000]", 0, 3000, 2000),
    ],
)
def test_a_quota_that_answers_counts(tmp_path, put, name, text, used, soft, hard, left):
    put(name, text.format(used=used, soft=soft, hard=hard), code=1)
    found = room(tmp_path)
    assert found is not None
    assert (found.n_bytes, found.limit) == (left * 1024, "left of the disk quota")


@pytest.mark.parametrize("text", ["", "none", QUOTA.format(used="1000", soft=0, hard=0), "x y z w"])
def test_a_quota_without_a_limit_or_sense_does_not(tmp_path, put, text):
    put("quota", text)
    found = room(tmp_path)
    assert found is not None
    assert found.limit.startswith("free in")


def test_a_launch_that_does_not_fit_is_refused_before_it_trains(tmp_path, put):
    made = expansion(iso=grid())
    places = {run.run_id: tmp_path / run.run_id for run in made.runs}
    plan = Plan(made, places, [None] * 4, dict.fromkeys(places, "planned"), workers=2)
    require_room(plan, tmp_path, force=False)
    put("quota", QUOTA.format(used=1000, soft=0, hard=1200))
    with pytest.raises(StoreError, match=r"4 runs need about .* are left of the disk quota; free"):
        require_room(plan, tmp_path, force=False)
    require_room(plan, tmp_path, force=True)
    done = Plan(made, places, [None] * 4, dict.fromkeys(places, "finished"), workers=2)
    require_room(done, tmp_path, force=False)
    assert os.listdir(tmp_path) == ["bin"]


@pytest.mark.parametrize("launcher", ["inline", "slurm"])
def test_the_command_refuses_before_it_writes_or_submits(tmp_path, put, launcher, monkeypatch):
    """On Slurm too, where the jobs would find the full disk one after the other."""
    facts = DataInfo("f", 14, {"stdlib": None})
    monkeypatch.setattr("sweeps.plan.data_info.describe", lambda *_: facts)
    put("quota", QUOTA.format(used=1000, soft=0, hard=1001))
    given = ["sweep=grid", "sweep.grids.grid.d_models=[8]", "sweep.grids.grid.n_tokens=[3e4]"]
    given += ["calibrate=false", f"launcher={launcher}", f"out={tmp_path / 'sweep'}"]
    with pytest.raises(StoreError, match="left of the disk quota"):
        main(load_config("sweep", given, SweepConfig), given)
    assert not (tmp_path / "sweep").exists()
