"""`python -m sweeps.gpu_check.child KIND ...`: what checks have other processes do.

rank DIR: train a run directory as the one rank of a group, and print how its model was wrapped.
worker: a pool's worker; a run whose name ends in "assert" finds the device broken.
pool DIR...: train run directories in a pool of one such worker, and print what became of them.
together SECONDS: `sweeps.plan.time_steps`, with the stand-in where the check has it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from sweeps.gpu_check import standin


def main(argv: list[str]) -> int:
    kind, words = argv[0], argv[1:]
    if kind == "pool":  # needs no torch, which is what it shows
        print(json.dumps(_pool([Path(word) for word in words])))
        return 0
    if kind == "rank":
        from train.ranks.process_end import leave_after

        leave_after(lambda: _rank(Path(words[0])))
    is_standin = standin.load_where_inherited()
    if kind == "worker":
        _worker(is_standin)
        return 0
    from sweeps.plan.time_steps import main as time_steps

    return time_steps(words)


def _rank(run_dir: Path) -> int:
    """Accelerate wraps no model for a group of one by itself; on a CPU it shards none."""
    from accelerate import Accelerator, PartialState
    from accelerate.utils import DistributedType

    from train.model.fsdp import is_sharded
    from train.run import train_run

    if standin.INHERITED in os.environ:
        os.environ["ACCELERATE_BYPASS_DEVICE_MAP"] = "true"
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    wrapped: list[str] = []
    prepare = Accelerator.prepare

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        prepared = prepare(self, *arguments, **named)
        model = prepared[0]
        wrapped.append("FSDP" if is_sharded(model) else type(model).__name__)
        return prepared

    Accelerator.prepare = noted  # type: ignore[method-assign]
    Accelerator.multi_device = property(lambda self: not self.is_fsdp2)  # type: ignore[assignment]
    status = train_run(run_dir)
    print(json.dumps({"status": status, "wrapped_in": wrapped[-1] if wrapped else None}))
    return 0


def _worker(is_standin: bool) -> None:
    from sweeps.launch.worker import serve
    from train.engine.device import is_usable
    from train.engine.signals import answer_at_once
    from train.run import train_run

    def train(run_dir: Path) -> str:
        if run_dir.name.endswith("assert"):
            _break_device(is_standin)
        return train_run(run_dir)

    answer_at_once()
    serve(train, is_usable)


def _break_device(is_standin: bool) -> None:
    """Fail a kernel, after which the device refuses every call of this process."""
    import torch

    if is_standin:
        standin.module().break_for_good()
        return
    device = torch.accelerator.current_accelerator(check_available=True)
    assert device is not None
    try:
        torch.zeros(1, device=device)[torch.tensor([7], device=device)].cpu()
    except RuntimeError:
        return


def _pool(run_dirs: list[Path]) -> dict[str, Any]:
    from sweeps.launch.pool import Pool
    from sweeps.launch.scheduler import QueuedRun
    from sweeps.plan.machine import Slot
    from train.commands.processes import python_command

    ended: dict[str, list[str]] = {}
    resident, on_card = [], []

    def report(task: QueuedRun, status: str, message: str) -> None:
        ended[task.run_dir.name] = [status, message]
        resident.append(psutil.Process().memory_info().rss)
        on_card.append(_bytes_on_card())

    # Longest first, so that their order is the one given.
    tasks = [QueuedRun(path, seconds=float(len(run_dirs) - n)) for n, path in enumerate(run_dirs)]
    Pool(
        slots=[Slot(0, "0", (), 1)],
        log_dir=run_dirs[0].parent.parent / "logs",
        report=report,
        command=python_command("sweeps.gpu_check.child", "worker"),
    ).run(tasks)
    return {
        "ended": ended,
        "launcher_bytes": max(resident),
        "launcher_bytes_on_card": max(on_card),
        "launcher_has_torch": "torch" in sys.modules,
    }


def _bytes_on_card() -> float:
    """Memory of this process on the cards, as nvidia-smi lists it; 0 where it lists none."""
    from sweeps.plan.machine import nvidia_smi

    rows = nvidia_smi("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
    fields = [[part.strip() for part in row.split(",")] for row in rows]
    mine = str(psutil.Process().pid)
    return sum(float(row[1]) * 2**20 for row in fields if row[0] == mine and row[1].isdigit())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
