"""What a run costs before its first step, and a command before its first line.

    python -m benchmarks.startup

A plan is the whole command in a fresh process; set-up is `train_run` in a warm process, from its
call to the first forward pass and from the last optimiser step to its return. Compiled, two runs of
one shape are trained in fresh processes, the second with the kernels that the first left on disk.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from benchmarks.figures import Figure, parse, report
from train.rundir.record import write_job

PLAN = [sys.executable, "-m", "sweeps", "plan", "preset=demo"]
LONGEST_PLAN = 2.0
LONGEST_SETUP = 50.0
REPEATS = 7


def plan_seconds() -> float:
    """Median wall-clock seconds of a cold plan, the data's shards and calibration being there."""
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        subprocess.run(PLAN, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def imports_torch() -> bool:
    """Whether that command loads torch, in the list of imports that Python itself keeps."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *PLAN[1:]], check=True, capture_output=True, text=True
    )
    return any(line.rsplit("|", 1)[-1].strip() == "torch" for line in done.stderr.splitlines())


def setup_milliseconds() -> tuple[list[float], list[float]]:
    """Milliseconds before the first forward pass and after the last step, of warm runs."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from train.model.build import SummedLoss
    from train.run import train_run

    steps: list[float] = []
    forwards: list[float] = []
    register_optimizer_step_post_hook(lambda *_: steps.append(time.perf_counter()))
    real = SummedLoss.forward

    def forward(self: SummedLoss, *args, **kwargs):
        forwards.append(time.perf_counter())
        return real(self, *args, **kwargs)

    before, after = [], []
    with (
        tempfile.TemporaryDirectory() as scratch,
        mock.patch.object(SummedLoss, "forward", forward),
    ):
        for number in range(REPEATS + 1):
            run_dir = Path(scratch) / str(number)
            write_job(run_dir, _job(seed=number))
            steps.clear()
            forwards.clear()
            started = time.perf_counter()
            status = train_run(run_dir)
            ended = time.perf_counter()
            if status != "finished":
                raise SystemExit(f"a run ended with status {status}; see {run_dir}")
            before.append((forwards[0] - started) * 1e3)
            after.append((ended - forwards[-1]) * 1e3)
    return before[1:], after[1:]


def compiled_seconds() -> list[float]:
    """Wall-clock seconds of two compiled runs of one shape, in fresh processes with one cache."""
    seconds = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(2):
            run_dir = Path(scratch) / str(seed)
            write_job(run_dir, _job(seed, compile="on"))
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "train.run", str(run_dir)],
                check=True,
                capture_output=True,
                env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(Path(scratch) / "kernels")},
            )
            seconds.append(time.perf_counter() - started)
    return seconds


def _job(seed: int, compile: str = "off"):
    from train.config.resolve import resolve
    from train.config.run_config import RunConfig, RuntimeSpec
    from train.config.spec import DataSpec, HorizonSpec, ModelSpec, OptimSpec, RunSpec, SourceSpec
    from train.data.dataset import describe

    data = DataSpec(parts={"stdlib": SourceSpec("stdlib")}, val_tokens=1024)
    spec = RunSpec(
        data=data,
        horizon=HorizonSpec(n_tokens=4.0 * 256),
        model=ModelSpec(d_model=16),
        optim=OptimSpec(batch_tokens=256),
        seed=seed,
    )
    return RunConfig(
        resolve(spec, describe(data, spec.model.seq_len)),
        RuntimeSpec(device="cpu", compile=compile),
    )


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ())
    plan = plan_seconds()
    before, after = setup_milliseconds()
    first, second = compiled_seconds()
    figures = [
        Figure("cold plan of the demo", plan, "s", at_most=LONGEST_PLAN),
        Figure("torch imported by a plan", float(imports_torch()), "", at_most=0),
        Figure("set-up of a warm run", statistics.median(before), "ms", at_most=LONGEST_SETUP),
        Figure("end of a warm run: last validation, model, record", statistics.median(after), "ms"),
        Figure("first run of a shape, compiled", first, "s"),
        Figure("second run of that shape, its kernels reused", second, "s", at_most=first / 2),
    ]
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
