"""The sbatch script of one array of jobs: every line that Slurm gets is written here.

`launcher.dry_run` prints this very text, and a submission keeps it as script.sh beside its list of
runs, so that what was asked for can be read later.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

from sweeps.slurm.resources import Batch
from sweeps.spec.launcher import LauncherSpec, one_line

FELLOW_SECONDS = 600
"""How long a job's other nodes may go on once one of them has ended: the first may still save."""

TEMPLATE = """\
#!/bin/bash
{options}

# environment and setup of launcher.env and launcher.setup
{setup}

# one process per node; it trains its share of the sweep
{command}
"""


def sbatch_script(
    batch: Batch, launcher: LauncherSpec, job_name: str, folder: Path, task_file: Path
) -> str:
    """The script that submits `batch` as one array.

    Args:
        job_name: What squeue shows.
        folder: Where the logs go, as ARRAY_INDEX_NODE_log.out.
        task_file: JSON with the runs of every job of the array.

    Raises:
        SpecError: A name or folder of several lines, which would be lines of the script.
    """
    one_line("sweep.name", job_name)
    exports = [f"export {key}={shlex.quote(value)}" for key, value in launcher.env.items()]
    return TEMPLATE.format(
        options="\n".join(_option(*item) for item in _options(batch, launcher, job_name, folder)),
        setup="\n".join([*exports, *launcher.setup]) or "# (none)",
        command=_command(batch, launcher, folder, task_file),
    )


def _options(
    batch: Batch, launcher: LauncherSpec, job_name: str, folder: Path
) -> list[tuple[str, Any]]:
    """sbatch's options in alphabetical order; None is left out, True is an option by itself."""
    n_jobs = len(batch.jobs)
    options: dict[str, Any] = {
        "array": f"0-{n_jobs - 1}%{min(n_jobs, launcher.max_parallel)}",
        "cpus-per-task": batch.cpus,
        "gpus-per-node": batch.gpus or None,
        "job-name": job_name,
        "mem": f"{1024 * batch.mem_gb:.0f}M",
        "nodes": launcher.nodes,
        "ntasks-per-node": 1,
        # A requeued job goes on in the log of its former life.
        "open-mode": "append",
        "output": _log(folder, "%A_%a_0"),
        # Without it a cluster of JobRequeue=0 refuses to requeue a job, even on its own wish.
        "requeue": True,
        "signal": f"USR2@{launcher.signal_seconds}",
        "time": batch.minutes,
    }
    for key in ("partition", "account", "qos", "constraint"):
        options[key] = getattr(launcher, key)
    options.update({key.replace("_", "-"): value for key, value in launcher.extra.items()})
    return sorted((key, value) for key, value in options.items() if value is not None)


def _option(name: str, value: Any) -> str:
    one_line(f"--{name}", str(value))  # also of the folder of logs, whose name is anybody's
    return f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={shlex.quote(str(value))}"


def _log(folder: Path, pattern: str) -> str:
    """A log's path with Slurm's placeholders; a % of the folder's own stands for itself."""
    return f"{str(folder).replace('%', '%%')}/{pattern}_log.out"


def python_of(launcher: LauncherSpec) -> list[str]:
    """The words that start Python on a node: this very interpreter unless another is asked for."""
    return shlex.split(launcher.python) if launcher.python else [sys.executable]


def _command(batch: Batch, launcher: LauncherSpec, folder: Path, task_file: Path) -> str:
    """srun of one process per node, each with a log of its own.

    srun takes no --cpus-per-task from sbatch since Slurm 22.05, so it is given again.
    """
    srun = ["srun", "--unbuffered", f"--output={_log(folder, '%A_%a_%t')}"]
    srun.append(f"--cpus-per-task={batch.cpus}")
    if launcher.nodes > 1:
        srun.append(f"--wait={FELLOW_SECONDS}")
    job = [*python_of(launcher), "-P", "-u", "-m", "sweeps.slurm.job_main", str(task_file)]
    return shlex.join([*srun, *job])
