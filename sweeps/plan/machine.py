"""Places for workers on one machine: which device, which cores, how many threads each."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from sweeps.spec.launcher import LauncherSpec, device_ids


@dataclass(frozen=True)
class Slot:
    """One worker's place; `cores` is empty where it is not pinned, `device` None on CPU."""

    index: int
    device: str | None
    cores: tuple[int, ...]
    threads: int


def make_slots(launcher: LauncherSpec, cores: list[int], devices: list[str]) -> list[Slot]:
    """The slots of a machine with these cores and GPUs.

    On GPUs there are `runs_per_device` a device, else as many as the cores have room for at
    `threads_per_worker`. Workers are pinned only where together they fill the machine: pinned to a
    part of it, two pools side by side would fight for the same cores.
    """
    threads = launcher.threads
    if devices:
        places: list[str | None] = [d for _ in range(launcher.runs_per_device) for d in devices]
        places = places[: launcher.workers or len(places)]
    else:
        places = [None] * (launcher.workers or max(1, len(cores) // threads))
    share = len(cores) // len(places)
    fills = launcher.affinity and (share >= threads if devices else share == threads)
    return [
        Slot(i, device, tuple(cores[i * share : (i + 1) * share]) if fills else (), threads)
        for i, device in enumerate(places)
    ]


def environment(slot: Slot, inherited: dict[str, str]) -> dict[str, str]:
    """A worker's environment: its thread counts, and only its own device to see."""
    threads = str(slot.threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    env = {**inherited, **dict.fromkeys(names, threads), "PYTHONUNBUFFERED": "1"}
    env["CUDA_VISIBLE_DEVICES"] = slot.device if slot.device is not None else ""
    return env


def usable_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_devices(launcher: LauncherSpec) -> list[str]:
    """GPU ids to use: those named, or with auto those of CUDA_VISIBLE_DEVICES or nvidia-smi."""
    if launcher.devices == "none":
        return []
    if launcher.devices != "auto":
        return device_ids(launcher.devices)
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return device_ids(os.environ["CUDA_VISIBLE_DEVICES"])
    return [row[0] for row in _nvidia_smi("index")]


def device_memory() -> dict[str, float]:
    """Total bytes of each GPU by id, empty where nvidia-smi can't tell."""
    return {row[0]: float(row[1]) * 2**20 for row in _nvidia_smi("index,memory.total")}


def gpu_names() -> dict[str, str]:
    """Model name of each GPU by id, empty where nvidia-smi can't tell."""
    return {row[0]: row[1] for row in _nvidia_smi("index,name")}


def _nvidia_smi(fields: str) -> list[list[str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[part.strip() for part in line.split(",")] for line in answer.stdout.splitlines()]
