"""Places for workers on one machine: which device, which cores, how many threads each."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

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
        places: list[str | None] = [d for _ in range(launcher.packed) for d in devices]
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
    # An index is nvidia-smi's; CUDA by itself counts the fastest card first.
    env.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return env


def usable_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def visible_devices(launcher: LauncherSpec) -> list[str]:
    """GPU ids to use: those named, or with auto those of CUDA_VISIBLE_DEVICES or nvidia-smi.

    Of a card that is split (MIG), its slices by UUID: under its index CUDA shows the first alone.
    """
    if launcher.devices == "none":
        return []
    if launcher.devices != "auto":
        return _valid(device_ids(launcher.devices))
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return _valid(device_ids(os.environ["CUDA_VISIBLE_DEVICES"]))
    return [part.ids[0] for card in _cards() for part in card.slices or (card,)]


def device_memory(devices: Iterable[str]) -> dict[str, float]:
    """Total bytes of each of these devices that nvidia-smi knows, by the id that it is given here.

    An id is an index, a UUID, or a UUID's unambiguous beginning, as CUDA_VISIBLE_DEVICES takes.
    """
    found = {id_: device.memory_bytes for id_, device in _found(devices).items()}
    return {id_: memory for id_, memory in found.items() if memory is not None}


def gpu_names(devices: Iterable[str] | None = None) -> dict[str, str]:
    """Model name of each device by id (default: every card by index), where nvidia-smi knows it."""
    ids = [card.ids[0] for card in _cards()] if devices is None else devices
    return {id_: device.name for id_, device in _found(ids).items()}


@dataclass(frozen=True)
class _Device:
    """A card or a MIG slice of one; `ids` are its index and UUID, of a slice the UUID alone."""

    ids: tuple[str, ...]
    name: str
    memory_bytes: float | None
    slices: tuple["_Device", ...] = ()


def _valid(ids: list[str]) -> list[str]:
    """The ids up to the first that is none, where CUDA stops reading: -1 hides all after it."""
    return list(takewhile(lambda id_: id_.isdigit() or id_.startswith(("GPU-", "MIG-")), ids))


def _found(ids: Iterable[str]) -> dict[str, _Device]:
    present = [device for card in _cards() for device in (card, *card.slices)]
    found = {}
    for id_ in ids:
        matches = [d for d in present if id_ in d.ids]
        if not matches and not id_.isdigit():
            matches = [d for d in present if d.ids[-1].startswith(id_)]
        if len(matches) == 1:
            found[id_] = matches[0]
    return found


def _cards() -> list[_Device]:
    """The cards of this machine in nvidia-smi's order, with their slices."""
    rows = nvidia_smi("--query-gpu=index,uuid,memory.total,name", "--format=csv,noheader,nounits")
    fields = [[part.strip() for part in row.split(",", 3)] for row in rows]
    cards = [row for row in fields if len(row) == 4]
    slices = _slices() if cards else {}
    return [
        _Device((index, uuid), name, _bytes(mebibytes), tuple(slices.get(uuid, ())))
        for index, uuid, mebibytes, name in cards
    ]


def _slices() -> dict[str, list[_Device]]:
    """MIG slices by their card's UUID; a slice's memory is what its profile (2g.10gb) names."""
    made: dict[str, list[_Device]] = {}
    card = ""
    for line in nvidia_smi("-L"):
        if whole := re.match(r"GPU \d+: .*\(UUID: (GPU-\S+)\)", line):
            card = whole[1]
        elif part := re.match(r"\s+MIG (\S+).*\(UUID: (MIG-\S+)\)", line):
            gigabytes = re.search(r"\.(\d+)gb", part[1])
            if gigabytes:
                name = f"MIG {part[1]}"
                slice_ = _Device((part[2],), name, float(gigabytes[1]) * 1e9)
                made.setdefault(card, []).append(slice_)
    return made


def _bytes(mebibytes: str) -> float | None:
    """None where nvidia-smi has no number: a card that shares the machine's memory says [N/A]."""
    return float(mebibytes) * 2**20 if mebibytes.isdigit() else None


def nvidia_smi(*arguments: str) -> list[str]:
    """Lines of nvidia-smi's answer, none where there is no such program or it fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.splitlines()
