"""One run, from its directory alone: skip, claim, resume, train, evaluate, record.

    python -m train.run RUN_DIR

Exit status: 0 finished, diverged, stopped early or already done; 75 preempted (run again to
continue); else 1.
"""

import gc
import json
import logging
import os
import sys
import traceback
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from train.commands.terminal import say
from train.config.decode import decode_stored
from train.config.run_config import RunConfig
from train.config.spec import IsoflopError, SpecError, known
from train.data.dataset import Dataset
from train.engine import checkpoint, device
from train.engine.branch_states import take_trunk
from train.engine.build_record import environment, record_of
from train.engine.compile import compiled, discard_damaged_kernel, uses_graphs
from train.engine.cpu_allocator import freed_memory_kept
from train.engine.device import make_accelerator
from train.engine.garbage import collector_frozen
from train.engine.loop import Outcome, train
from train.engine.signals import Stopped, answer_at_once, stop_requests
from train.engine.writer import RunWriter, follower_hooks
from train.model.build import SummedLoss
from train.model.flash import use_flash
from train.model.initial import initial_model
from train.model.liger import head_loss
from train.model.optimizer import build_optimizer
from train.ranks.process_end import leave_after
from train.ranks.shared_failure import Failure, OtherRankError, shared_failures
from train.ranks.shared_memory_error import SharedMemoryError
from train.rundir.atomic import write_atomic, write_json
from train.rundir.lock import Claimed, claim
from train.rundir.log_file import log_file
from train.rundir.record import DONE, RunPaths, append_status, read_job, read_record
from train.speed.choice import Choice, run_choice

PREEMPTED_EXIT = 75
log = logging.getLogger(__name__)


def train_run(run_dir: Path) -> str:
    """Bring a run to its end and return its status; a fault becomes a status and error.txt.

    Under `accelerate launch` every rank calls this; the first claims the run and writes its files.
    Returns "running" where another live process holds the run.
    Raises:  RecordError: the directory holds no readable run.
    """
    job = read_job(run_dir)
    done = read_record(run_dir)
    if done is not None:
        return done.status
    if not _leads():
        return _execute(run_dir, job)[0]
    try:
        with claim(run_dir), log_file(RunPaths(run_dir).log):
            done = read_record(run_dir)
            return done.status if done is not None else _attempt(run_dir, job)
    except Claimed as error:
        log.info("%s", error)
        return "running"


def _leads() -> bool:
    """Whether this process is the one, of all ranks, that writes."""
    return os.environ.get("RANK", "0") == "0"


def _attempt(run_dir: Path, job: RunConfig) -> str:
    paths = RunPaths(run_dir)
    try:
        paths.error.unlink(missing_ok=True)
        append_status(run_dir, "running", step=0, n_steps=job.spec.n_steps)
        status, message = _execute(run_dir, job)
    except Stopped:
        status, message = "preempted", "stopped before or after its training loop"
    except Exception as error:
        status, message = _status_of(error), str(error) or type(error).__name__
        log.error("%s: %s", status, message)
        _try_write(paths.error, f"{message}\n\n{traceback.format_exc()}")
    try:
        append_status(run_dir, status, message=message)
    except IsoflopError as error:
        log.error("%s", error)
    return status


def _execute(run_dir: Path, job: RunConfig) -> tuple[str, str]:
    """`_train`, tried again after a damaged kernel and after a lack of memory, from saved state.

    The latter where the job allows it, with half the rows at a time: the same numbers up to
    rounding. Of several ranks all try again, or none: one alone would wait for the others.
    """
    rows = job.runtime.micro_batch or _rows_per_rank(job)
    while True:
        try:
            with freed_memory_kept():
                return _train(run_dir, job)
        except Exception as error:
            if (kernel := discard_damaged_kernel(error)) is not None:
                log.warning("compiling again what was left half written: %s", kernel)
                continue
            if _status_of(error) != "oom":
                raise
            if isinstance(error, OtherRankError):
                raise
            alone = torch.distributed.is_initialized() and not isinstance(error, SharedMemoryError)
            if rows == 1 or not job.runtime.auto_micro_batch or alone:
                raise OutOfMemory(_memory_advice(rows, error)) from error
        log.warning("out of memory with %d rows at a time; trying %d", rows, rows // 2)
        rows //= 2
        gc.collect()
        device.release_cached_memory()
        job = replace(job, runtime=replace(job.runtime, micro_batch=rows))


class OutOfMemory(IsoflopError):
    """The device's memory does not hold a step; the message says what was tried and what to try."""


def _rows_per_rank(job: RunConfig) -> int:
    batch_tokens = known(job.spec.optim.batch_tokens, "optim.batch_tokens")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return max(1, batch_tokens // job.spec.model.seq_len // world)


def _memory_advice(rows: int, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    if rows == 1:
        return f"one row at a time does not fit ({reason}); use a larger device or a smaller model"
    return (
        f"{rows} rows at a time do not fit ({reason}); use runtime.micro_batch={rows // 2}, "
        f"or runtime.auto_micro_batch=true"
    )


def _train(run_dir: Path, job: RunConfig) -> tuple[str, str]:
    """Train, then write the model and the record; returns the status and a message."""
    accelerator = make_accelerator(job.runtime, job.spec.precision)

    def told(failure: Failure) -> None:
        if _leads():
            append_status(run_dir, failure.status, message=str(failure))

    with device.released(accelerator), shared_failures(_status_of, told):
        return _train_on(accelerator, run_dir, job)


def _train_on(accelerator: Accelerator, run_dir: Path, job: RunConfig) -> tuple[str, str]:
    spec = job.spec
    device.reset_peak_memory(accelerator.device)
    dataset = Dataset.open(spec)
    model = initial_model(spec, dataset.codec.end_id).to(accelerator.device)
    optimizer = build_optimizer(model, spec.optim, spec.model, accelerator.device.type)
    choice = _choice(run_dir, job, accelerator)
    use_flash(job.runtime.flash, accelerator.device.type)
    trained: torch.nn.Module = SummedLoss(
        model, choice.kernels, spec.optim.z_loss, head_loss(choice.liger)
    )
    if choice.compiled:
        graphs = uses_graphs(job.runtime, accelerator.device.type, _rows_per_rank(job))
        trained = compiled(trained, graphs and accelerator.num_processes == 1)
    prepared, prepared_optimizer = accelerator.prepare(trained, optimizer)
    paths = RunPaths(run_dir)
    restored = checkpoint.load_state(
        paths.state, job.run_id, model, optimizer, metrics=paths.metrics
    )
    restored = restored or take_trunk(run_dir, job, model, optimizer, accelerator)
    outcome = _progress(restored) if restored else Outcome()
    if restored is not None:
        log.info("continuing at step %d of %s", outcome.step, spec.n_steps)
    writer = (
        RunWriter(run_dir, job, model, optimizer, dataset.codec, restored)
        if accelerator.is_main_process
        else None
    )
    with stop_requests() as stopping, writer or nullcontext(), collector_frozen():
        if writer is not None:
            write_json(paths.env, environment(accelerator))
        follower = follower_hooks(stopping, model, optimizer)
        hooks = writer.hooks(stopping) if writer else follower
        outcome = train(
            spec, job.runtime, dataset, prepared, prepared_optimizer, accelerator, hooks, outcome
        )
        final = outcome.status != "preempted"
        if writer is not None:
            world = accelerator.num_processes
            place = accelerator.device, world, choice.label
            record = record_of(job, outcome, dataset, *place) if final else None
            writer.finish(outcome, record)
        elif final:
            checkpoint.give_weights(model)
    return outcome.status, outcome.message


def _choice(run_dir: Path, job: RunConfig, accelerator: Accelerator) -> Choice:
    """How the run computes; of several ranks the first decides, so that all compute alike."""
    found = [run_choice(run_dir, job, accelerator.device.type) if _leads() else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(found, from_process=0)
    assert found[0] is not None
    return found[0]


def _progress(restored: checkpoint.TrainerState) -> Outcome:
    try:
        return decode_stored(Outcome, restored.progress, "progress")
    except SpecError as error:
        raise checkpoint.CheckpointError(
            f"the saved state can't be continued ({error}): {checkpoint.ANOTHER_RELEASE}"
        ) from error


def _status_of(error: Exception) -> str:
    if isinstance(error, OtherRankError):
        return error.status
    out_of_memory = isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError)
    cpu_allocator = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return "oom" if out_of_memory or cpu_allocator else "failed"


def _try_write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text)
    except IsoflopError as error:
        log.error("%s", error)


def main(argv: list[str] | None = None) -> int:
    """Command line of one run directory."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr if arguments[:1] not in (["-h"], ["--help"]) else sys.stdout)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s")
    try:
        answer_at_once()
        status = train_run(Path(arguments[0]))
    except Stopped:
        return PREEMPTED_EXIT
    except IsoflopError as error:
        say(f"train.run: {error}", sys.stderr)
        return 2
    print(json.dumps({"run_dir": arguments[0], "status": status}))
    return {**dict.fromkeys(DONE, 0), "preempted": PREEMPTED_EXIT}.get(status, 1)


if __name__ == "__main__":
    leave_after(main)
