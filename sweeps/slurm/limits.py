"""What a partition allows, compared with what jobs ask for: much may pend without a word.

By default (EnforcePartLimits=NO) sbatch accepts a job that no node can ever run. What is compared:
the partition's state and time limit, by scontrol, and processors, memory and GPUs of its nodes, by
sinfo. Limits of an account or a QOS are not, which sbatch or the reason of a pending job names.
"""

import re
from dataclasses import dataclass, replace
from math import ceil

from sweeps.slurm.commands import output
from sweeps.slurm.resources import Batch
from sweeps.spec.launcher import LauncherSpec


@dataclass(frozen=True)
class Node:
    """One node's processors, memory (MB) and GPUs."""

    cpus: int
    memory_mb: int
    gpus: int


@dataclass(frozen=True)
class Partition:
    """A partition; `minutes` is None where it sets no limit."""

    name: str
    state: str
    minutes: int | None
    nodes: tuple[Node, ...]


def partitions(names: str | None) -> list[Partition]:
    """The partitions of a comma-separated list (None: the default one); none where unknown."""
    text = output(["scontrol", "show", "partition", "--oneliner"]) or ""
    rows = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines()]
    wanted = names.split(",") if names else []
    return [
        Partition(
            row["PartitionName"],
            row.get("State", "UP"),
            minutes_of(row.get("MaxTime", "UNLIMITED")),
            _nodes(row["PartitionName"]),
        )
        for row in rows
        if row.get("PartitionName", "") in wanted or (not wanted and row.get("Default") == "YES")
    ]


def minutes_of(limit: str) -> int | None:
    """Whole minutes of Slurm's DAYS-HOURS:MINUTES:SECONDS; None for UNLIMITED and the like."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if found is None:
        return None
    days, *rest = found.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:  # with days, the next is hours: 1-12 is a day and a half
        hours, minutes = parts[0], parts[1] if len(parts) > 1 else 0
        return int(days) * 1440 + hours * 60 + minutes
    return parts[0] * 60 + parts[1] if len(parts) == 3 else parts[0]


def fitted(batch: Batch, launcher: LauncherSpec, allowed: list[Partition]) -> tuple[Batch, str]:
    """The batch with a predicted time cut to the partition's limit, and what is to be said of it.

    A time that was set by hand is left as it is. Text: why the jobs would pend forever, or that
    their time was cut; "" where they fit one of the partitions.
    """
    limits = [partition.minutes for partition in allowed]
    longest = None if None in limits else max((limit or 0 for limit in limits), default=None)
    cut = ""
    if longest and batch.minutes > longest and launcher.time_minutes is None:
        needed = ceil(batch.minutes / longest) - 1
        short = f"; {needed} may be needed, so raise it" if needed > launcher.max_requeues else ""
        cut = (
            f"{batch.minutes} min predicted, cut to the {longest} min that partition "
            f"{_names(allowed)} allows: jobs save ahead of it and requeue themselves, "
            f"{launcher.max_requeues} times at most (launcher.max_requeues{short})"
        )
        batch = replace(batch, minutes=longest)
    obstacles = [_obstacles(batch, launcher, partition) for partition in allowed]
    if obstacles and all(obstacles):
        why = "; ".join(reason for reasons in obstacles for reason in reasons)
        return batch, f"{len(batch.jobs)} jobs would pend forever: {why}"
    return batch, cut


def _obstacles(batch: Batch, launcher: LauncherSpec, partition: Partition) -> list[str]:
    """Why a partition can never run a batch's jobs."""
    found, nodes = [], partition.nodes
    if partition.state != "UP":
        found.append(f"partition {partition.name} is {partition.state}")
    if partition.minutes is not None and batch.minutes > partition.minutes:
        found.append(
            f"time_minutes={batch.minutes}, but {partition.name} allows {partition.minutes} "
            "(MaxTime)"
        )
    needs = (
        ("cpus", "processors", batch.cpus, [node.cpus for node in nodes]),
        ("mem_gb", "GB", batch.mem_gb, [round(node.memory_mb / 1024, 2) for node in nodes]),
        ("gpus", "GPUs", batch.gpus, [node.gpus for node in nodes]),
    )
    for setting, unit, need, have in needs:
        if have and need > max(have):
            found.append(
                f"{setting}={need:g}, but the largest node of {partition.name} has {max(have):g} "
                f"{unit}"
            )
    if found or not nodes:
        return found
    enough = sum(
        node.cpus >= batch.cpus
        and node.memory_mb >= 1024 * batch.mem_gb
        and node.gpus >= batch.gpus
        for node in nodes
    )
    if enough < launcher.nodes:
        found.append(
            f"nodes={launcher.nodes}, but only {enough} of {partition.name} have {batch.cpus} "
            f"processors, {batch.mem_gb:g} GB and {batch.gpus} GPUs"
        )
    return found


def _nodes(partition: str) -> tuple[Node, ...]:
    text = output(
        ["sinfo", "--noheader", "--Node", f"--partition={partition}", "--format=%c|%m|%G"]
    )
    found = re.findall(r"^(\d+)\|(\d+)\|(.*)$", text or "", re.MULTILINE)
    return tuple(Node(int(cpus), int(memory), _gpus(gres)) for cpus, memory, gres in found)


def _gpus(gres: str) -> int:
    """GPUs of a node's generic resources, such as gpu:a100:4(S:0-1),nvme:1."""
    return sum(int(n) for n in re.findall(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)", gres))


def _names(allowed: list[Partition]) -> str:
    return ",".join(partition.name for partition in allowed)
