"""One run, from its directory alone: skip, claim, resume, train, evaluate, record.

    python -m train.run RUN_DIR

Exit status: 0 finished, diverged or already done; 75 preempted (run again to continue); 1 otherwise.
"""

import json
import logging
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from train import checkpoint, device, summary
from train.claim import Claimed, claim
from train.data import Dataset
from train.device import make_accelerator
from train.flops import flops_per_token
from train.loop import Hooks, Outcome, train
from train.model import SummedLoss, build_model
from train.optim import build_optimizer
from train.record import (
    RunPaths,
    append_status,
    read_job,
    read_record,
    write_atomic,
    write_json,
    write_record,
)
from train.spec import IsoflopError, RunJob, known
from train.stopping import stop_requests
from train.track import MetricsFile, Wandb

PREEMPTED_EXIT = 75
BEAT_SECONDS = 5.0
log = logging.getLogger(__name__)


def train_run(run_dir: Path) -> str:
    """Bring a run to its end and return its status; a fault becomes a status and error.txt.

    Returns "running" where another live process holds the run.
    Raises:  RecordError: the directory holds no readable run.
    """
    job = read_job(run_dir)
    done = read_record(run_dir)
    if done is not None:
        return done.status
    try:
        with claim(run_dir), _log_file(RunPaths(run_dir).log):
            done = read_record(run_dir)
            return done.status if done is not None else _attempt(run_dir, job)
    except Claimed as error:
        log.info("%s", error)
        return "running"


def _attempt(run_dir: Path, job: RunJob) -> str:
    paths = RunPaths(run_dir)
    paths.error.unlink(missing_ok=True)
    try:
        append_status(run_dir, "running", step=0, n_steps=job.spec.n_steps)
        status, message = _execute(run_dir, job)
    except Exception as error:
        status, message = _status_of(error), str(error) or type(error).__name__
        log.error("%s: %s", status, message)
        _try_write(paths.error, f"{message}\n\n{traceback.format_exc()}")
    try:
        append_status(run_dir, status, message=message)
    except IsoflopError as error:
        log.error("%s", error)
    return status


def _execute(run_dir: Path, job: RunJob) -> tuple[str, str]:
    """Train, then write the model and the record; returns the status and a message."""
    spec, paths = job.spec, RunPaths(run_dir)
    checkpoint.sweep_leftovers(run_dir)
    accelerator = make_accelerator(job.runtime, spec.precision)
    device.reset_peak_memory(accelerator.device)
    write_json(paths.env, environment(accelerator))
    dataset = Dataset.open(spec)
    model = build_model(spec.model, spec.seed, dataset.codec.end_id).to(accelerator.device)
    optimizer = build_optimizer(model, spec.optim, accelerator.device.type)
    restored = checkpoint.load_state(paths.state, job.run_id, model, optimizer)
    outcome = Outcome(**restored.progress) if restored else Outcome()
    if restored is not None:
        log.info("continuing at step %d of %s", outcome.step, spec.n_steps)
    metrics = MetricsFile(paths.metrics, restored.metrics_bytes if restored else 0)
    tracker = Wandb(job, run_dir)
    run_flops = known(spec.horizon.n_tokens, "horizon.n_tokens") * flops_per_token(spec.model)
    trained = SummedLoss(model)
    if device.compiles(job.runtime, accelerator.device.type, run_flops):
        trained = torch.compile(trained)
    prepared, prepared_optimizer = accelerator.prepare(trained, optimizer)

    def write(row: dict[str, float]) -> None:
        metrics.write(row)
        tracker.write(row)

    def save(progress: Outcome) -> None:
        state = checkpoint.TrainerState(job.run_id, metrics.sync(), asdict(progress))
        checkpoint.save_state(paths.state, model, optimizer, state)

    def save_checkpoint(directory: Path, step: int) -> None:
        facts = {"run_id": job.run_id, "step": step, "loss": outcome.loss}
        checkpoint.save_model(model, dataset.codec, directory, spec.model.seq_len, facts)

    with stop_requests() as stopping:
        hooks = Hooks(
            write=write,
            beat=_heartbeat(run_dir, job),
            save=save,
            keep=lambda step: save_checkpoint(paths.checkpoint_at(step), step),
            stopping=stopping,
        )
        outcome = train(
            spec, job.runtime, dataset, prepared, prepared_optimizer, accelerator, hooks, outcome
        )
    metrics.sync()
    metrics.close()
    record = None
    if outcome.status != "preempted":
        save_checkpoint(paths.checkpoint, outcome.step)
        record = summary.record_of(job, outcome, dataset, accelerator.device)
    tracker.finish(record, outcome.status)
    if record is not None:
        write_record(run_dir, record)
    return outcome.status, outcome.message


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """What a repetition needs to know beside the spec: versions, commit, device, threads."""
    import accelerate
    import numpy
    import transformers

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "numpy": numpy.__version__,
        "commit": commit.stdout.strip() or None,
        "device": device.device_name(accelerator.device),
        "threads": torch.get_num_threads(),
        "processes": accelerator.num_processes,
    }


def _heartbeat(run_dir: Path, job: RunJob) -> Any:
    """A function that notes progress in status.jsonl, at most every few seconds."""
    last = time.monotonic() - BEAT_SECONDS
    batch_tokens = known(job.spec.optim.batch_tokens, "optim.batch_tokens")

    def beat(step: int, train_loss: float, seconds: float) -> None:
        nonlocal last
        if time.monotonic() - last < BEAT_SECONDS:
            return
        last = time.monotonic()
        append_status(
            run_dir,
            "running",
            step=step,
            n_steps=job.spec.n_steps,
            train_loss=train_loss,
            tokens_per_second=step * batch_tokens / max(seconds, 1e-9),
        )

    return beat


def _status_of(error: Exception) -> str:
    out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
    cpu_allocator = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return "oom" if out_of_memory or cpu_allocator else "failed"


def _try_write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except IsoflopError as error:
        log.error("%s", error)


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Everything logged during the block also goes to train.log."""
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def main(argv: list[str] | None = None) -> int:
    """Command line of one run directory."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr if arguments[:1] not in (["-h"], ["--help"]) else sys.stdout)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s")
    try:
        status = train_run(Path(arguments[0]))
    except IsoflopError as error:
        print(f"train.run: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"run_dir": arguments[0], "status": status}))
    return {"finished": 0, "diverged": 0, "preempted": PREEMPTED_EXIT}.get(status, 1)


if __name__ == "__main__":
    sys.exit(main())
