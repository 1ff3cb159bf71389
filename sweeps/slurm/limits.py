"""What a partition allows, compared with what jobs ask for: much may pend without a word.

By default (EnforcePartLimits=NO) sbatch accepts a job that no node can ever run. What is compared:
the partition's state and time limit, by scontrol; processors, memory and GPUs of its nodes, by
sinfo; and what a job of this account and QOS may ask for, by sacctmgr where it answers. Limits on
all jobs of a user together are none of these: jobs wait for one another, and run in the end.
"""

import re
from dataclasses import dataclass, replace
from math import ceil

from sweeps.slurm.commands import MissingError, ask, output
from sweeps.slurm.resources import Batch
from sweeps.spec.launcher import LauncherSpec
from train.rundir.lock import user_name


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


@dataclass(frozen=True)
class JobLimits:
    """What one job may ask for by its QOS or account; None and absent names are no limit.

    `most` has totals over the job's nodes: cpu, mem (MB), gres/gpu and node.
    """

    name: str
    minutes: int | None
    most: dict[str, float]


def job_limits(launcher: LauncherSpec) -> list[JobLimits]:
    """The limits of the QOS and, where that sets none, of the account; none where unknown."""
    fields = "format=Account,DefaultQOS,MaxWall,MaxTRES"
    accounts = [
        row
        for row in _sacctmgr("assoc", f"user={user_name()}", fields)
        if len(row) == 4 and launcher.account in (None, row[0])
    ]
    # Of several accounts the default one is not named here.
    account = accounts[0] if len({row[0] for row in accounts}) == 1 else None
    qos = launcher.qos or (account[1] if account else "")
    found = []
    if qos:
        named = _sacctmgr("qos", f"name={qos}", "format=Name,MaxWall,MaxTRES")
        found += [_job_limits(f"QOS {row[0]}", *row[1:]) for row in named if len(row) == 3]
    if account:
        # A limit of the QOS counts instead of the account's, also where it is higher.
        wall = "" if any(one.minutes is not None for one in found) else account[2]
        most = _job_limits(f"account {account[0]}", wall, account[3])
        set_by_qos = {name for one in found for name in one.most}
        kept = {name: value for name, value in most.most.items() if name not in set_by_qos}
        found.append(replace(most, most=kept))
    return found


def _sacctmgr(what: str, *words: str) -> list[list[str]]:
    """Rows of an accounting table, asked for once: many clusters have no accounting."""
    shown, *rest = words
    command = ["sacctmgr", "--noheader", "--parsable2", "show", what, "where", shown, *rest]
    try:
        answer = ask(command)
    except MissingError:
        return []
    return [line.split("|") for line in answer.stdout.splitlines()] if answer.ok else []


def _job_limits(name: str, wall: str, tres: str) -> JobLimits:
    found = re.findall(r"(?:^|,)(cpu|mem|gres/gpu|node)=(\d+(?:\.\d+)?)([MGT]?)", tres)
    scale = {"": 1, "M": 1, "G": 1024, "T": 1024**2}
    most = {what: float(value) * scale[unit] for what, value, unit in found}
    return JobLimits(name, minutes_of(wall), most)


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


def fitted(
    batch: Batch,
    launcher: LauncherSpec,
    allowed: list[Partition],
    limited: list[JobLimits] | None = None,
) -> tuple[Batch, str]:
    """The batch with a predicted time cut to what is allowed, and what is to be said of it.

    A time that was set by hand is left as it is. Text: why the jobs would pend forever, or that
    their time was cut; "" where they fit one of the partitions.
    """
    limited = limited or []
    longest, whose = _longest(allowed, limited)
    cut = ""
    if longest and batch.minutes > longest and launcher.time_minutes is None:
        needed = ceil(batch.minutes / longest) - 1
        short = f"; {needed} may be needed, so raise it" if needed > launcher.max_requeues else ""
        cut = (
            f"{batch.minutes} min predicted, cut to the {longest} min that {whose} allows: jobs "
            f"save ahead of it and requeue themselves, {launcher.max_requeues} times at most "
            f"(launcher.max_requeues{short})"
        )
        batch = replace(batch, minutes=longest)
    obstacles = [_obstacles(batch, launcher, partition) for partition in allowed]
    reasons = [reason for found in obstacles for reason in found] if all(obstacles) else []
    reasons += [reason for one in limited for reason in _beyond(batch, launcher, one)]
    if reasons:
        return batch, f"{len(batch.jobs)} jobs would pend forever: {'; '.join(reasons)}"
    return batch, cut


def _longest(allowed: list[Partition], limited: list[JobLimits]) -> tuple[int | None, str]:
    """The longest time that a job may ask for, and who sets that limit."""
    times = [partition.minutes for partition in allowed if partition.minutes is not None]
    found = [(one.minutes, one.name) for one in limited if one.minutes is not None]
    if times and len(times) == len(allowed):
        found.append((max(times), f"partition {_names(allowed)}"))
    return min(found, default=(None, ""))


def _beyond(batch: Batch, launcher: LauncherSpec, limit: JobLimits) -> list[str]:
    """What a batch's jobs ask for beyond the limits of their QOS or account."""
    asked = (
        ("cpu", "processors", batch.cpus * launcher.nodes, 1),
        ("mem", "GB", batch.mem_gb * launcher.nodes, 1024),
        ("gres/gpu", "GPUs", batch.gpus * launcher.nodes, 1),
        ("node", "nodes", launcher.nodes, 1),
    )
    found = [
        f"a job asks for {need:g} {unit}, but {limit.name} allows {limit.most[what] / scale:g}"
        for what, unit, need, scale in asked
        if what in limit.most and need * scale > limit.most[what]
    ]
    if limit.minutes is not None and batch.minutes > limit.minutes:
        found.append(
            f"time_minutes={batch.minutes}, but {limit.name} allows {limit.minutes} (MaxWall)"
        )
    return found


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
