"""A sweep whose W&B service dies half way: every run is trained, and uploaded later.

`ISOFLOP_RUNS=200 pytest tests/sweeps/test_wandb_sweep.py -s` tries as many runs as asked for, and
prints how long they took beside the same sweep with the service alive.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sweeps.manage.status import read_sweep
from tests.support.wandb_server import WandbServer
from train.rundir.sweep_layout import run_dirs
from train.trackers.mirror import read_mirror

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

N_RUNS = int(os.environ.get("ISOFLOP_RUNS", "8"))
SWEEP = (
    "sweep=grid",
    "sweep.grids.grid.d_models=[8]",
    "sweep.grids.grid.n_tokens=[256]",
    f"sweep.seeds=[{','.join(map(str, range(N_RUNS)))}]",
    "model.seq_len=32",
    "optim.batch_tokens=256",
    "data.val_tokens=4096",
    "runtime.compile=off",
    "calibrate=false",
    "tracker=wandb",
)


def sweeps(server: WandbServer, root: Path, *overrides: str) -> tuple[str, float]:
    """What `python -m sweeps` printed, and the seconds that it took."""
    started = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-m", "sweeps", f"out={root}", *overrides],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **server.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout, time.monotonic() - started


def test_a_service_that_dies_half_way_costs_no_run(tmp_path: Path):
    root = tmp_path / "sweep"
    with WandbServer() as server:

        def die_half_way():
            while len(server.runs) < N_RUNS // 2:
                time.sleep(0.02)
            server.die()

        killer = threading.Thread(target=die_half_way, daemon=True)
        killer.start()
        _, seconds = sweeps(server, root, *SWEEP)
        killer.join()
        assert len(server.runs) < N_RUNS
    assert read_sweep(root).counts == {"finished": N_RUNS}
    with WandbServer() as later:
        later.runs |= server.runs
        sweeps(later, root, "action=sync")
        assert len(later.runs) == N_RUNS
        assert all(run.steps() == [1] for run in later.runs.values())
        assert all(read_mirror(path).uploaded for path in run_dirs(root))
        _, alive = sweeps(later, tmp_path / "alive", *SWEEP)
    print(f"{N_RUNS} runs: {seconds:.0f} s with a service that died, {alive:.0f} s with one alive")
    # The wait for a dying service is fixed, so that a small sweep says nothing about the factor.
    assert seconds < (2 * alive if N_RUNS >= 100 else alive + 60)
