"""Bookkeeping of a large sweep, measured with simulated records: plan, status, collect.

    python -m benchmarks.sweeps [N_RUNS] [DIRECTORY]

Makes a sweep of N_RUNS (default 10,000) finished runs of 50 curve points each, then times each
command in a process of its own, as a user runs it: wall-clock seconds and peak memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from sweeps.grid import PlannedRun, expand
from sweeps.spec import GridSpec, SweepSpec
from sweeps.store import SweepPaths, placed
from train.data import describe
from train.flops import count_params
from train.job import job_to_json
from train.record import RunRecord
from train.spec import DataSpec, HorizonSpec, ModelSpec, RunSpec, SourceSpec

N_RUNS, N_POINTS = 10_000, 50
WIDTHS = [16, 24, 32, 48, 64, 80, 96, 112, 128, 144]
BUDGETS = [1e11, 2e11, 4e11, 8e11, 1.6e12, 3.2e12, 6.4e12, 1.28e13, 2.56e13, 5.12e13]


def sweep_of(n_runs: int) -> SweepSpec:
    """An IsoFLOP sweep of about `n_runs` cells, seeds included."""
    n_seeds = max(1, n_runs // (len(WIDTHS) * len(BUDGETS)))
    grid = GridSpec(budgets=BUDGETS, d_models=WIDTHS, base={"data": {"max_epochs": 1e6}})
    return SweepSpec(name="large", seeds=list(range(n_seeds)), grids={"iso": grid})


def simulate(root: Path, n_runs: int) -> int:
    """Write the run directories that a finished sweep leaves behind; returns how many."""
    base = RunSpec(
        data=DataSpec(parts={"stdlib": SourceSpec(kind="stdlib")}),
        horizon=HorizonSpec(n_tokens=1.0),
        model=ModelSpec(d_model=64),
    )
    runs = expand(sweep_of(n_runs), base, describe).runs
    places = placed(root, runs)
    for number, run in enumerate(runs):
        write_run(places[run.run_id], run, number)
    return len(runs)


def write_run(run_dir: Path, run: PlannedRun, number: int) -> None:
    """spec.json, status.jsonl, metrics.jsonl and record.json of one finished run."""
    run_dir.mkdir(parents=True)
    (run_dir / "spec.json").write_text(json.dumps(job_to_json(run.job)))
    (run_dir / "record.json").write_text(json.dumps(asdict(record_of(run, 2 + number % 97 / 97))))
    (run_dir / "status.jsonl").write_text('{"status": "finished", "time": 0}\n')
    rows = [
        {
            "step": step,
            "n_tokens": step * 1000,
            "flops": step * 1e9,
            "train_loss": 3 - step / N_POINTS,
            "loss": 3 - step / N_POINTS,
            "lr": 1e-3,
        }
        for step in range(1, N_POINTS + 1)
    ]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def record_of(run: PlannedRun, loss: float) -> RunRecord:
    """The record that a run with this loss would have written."""
    spec, counts = run.job.spec, count_params(run.job.spec.model)
    model = spec.model
    return RunRecord(
        run_id=run.run_id,
        name=run.job.name,
        sweep=run.job.sweep,
        grid=run.job.grid,
        status="finished",
        data="stdlib",
        data_fingerprint=spec.data.fingerprint or "",
        seed=spec.seed,
        family=model.family,
        d_model=model.d_model,
        n_layers=model.n_layers or 0,
        n_heads=model.n_heads or 0,
        d_ff=model.d_ff or 0,
        vocab_size=model.vocab_size or 0,
        seq_len=model.seq_len,
        n_params=counts.n_params,
        n_params_total=counts.n_params_total,
        n_params_non_embedding=counts.n_params_non_embedding,
        n_tokens=run.n_tokens,
        tokens_per_param=run.n_tokens / run.n_params,
        n_steps=spec.n_steps or 0,
        batch_tokens=spec.optim.batch_tokens or 0,
        lr_peak=spec.optim.lr_peak or 0.0,
        flops=run.flops,
        flops_6nd=run.flops,
        flops_chinchilla=run.flops,
        flops_budget=run.job.flops_budget,
        flops_spent=run.flops,
        loss=loss,
        bits_per_byte=loss,
        train_loss=loss,
        losses={"stdlib": loss},
        epochs={"stdlib": 0.1},
        wall_seconds=10.0,
        tokens_per_second=1e5,
    )


def timed(root: Path, action: str, n_runs: int) -> tuple[float, float]:
    """(wall seconds, peak MB) of one action of `python -m sweeps`."""
    seeds = sweep_of(n_runs).seeds
    command = [
        *(sys.executable, "-m", "sweeps", f"action={action}", f"out={root}", "calibrate=false"),
        *("sweep=empty", "sweep.name=large", f"sweep.seeds={seeds}"),
        *("sweep.grids.iso.kind=isoflop", f"sweep.grids.iso.budgets={BUDGETS}"),
        *(f"sweep.grids.iso.d_models={WIDTHS}", "sweep.grids.iso.base.data.max_epochs=1e6"),
    ]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"action={action} exited with status {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def largest_directory(root: Path) -> int:
    """Entries of the fullest directory of the sweep."""
    return max(len(files) + len(folders) for _, folders, files in os.walk(root))


def main(argv: list[str]) -> None:
    n_runs = int(argv[0]) if argv else N_RUNS
    with tempfile.TemporaryDirectory(dir=argv[1] if len(argv) > 1 else None) as directory:
        root = Path(directory)
        started = time.perf_counter()
        n_made = simulate(root, n_runs)
        print(f"simulated {n_made} runs in {time.perf_counter() - started:.1f} s")
        print(f"fullest directory: {largest_directory(SweepPaths(root).runs)} entries")
        for action in ("plan", "status", "collect"):
            seconds, megabytes = timed(root, action, n_runs)
            print(f"{action:8} {seconds:6.2f} s {megabytes:7.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
