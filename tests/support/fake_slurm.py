"""Stand-ins for Slurm's commands on a PATH: each is a shell script that a test writes.

Every call is noted, so that a test can say what was asked and how often.
"""

import os
from pathlib import Path

import pytest

from sweeps.slurm import cluster, commands, sbatch

CONFIG = "printf 'MaxArraySize            = %s\\nClusterName             = here\\n' "

PARTITIONS = """
if [ "$2" = partition ]; then
  echo 'PartitionName=main Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 State=UP TotalNodes=2'
  echo 'PartitionName=long Default=NO MaxTime=UNLIMITED State=UP'
  echo 'PartitionName=old Default=NO MaxTime=UNLIMITED State=DOWN'
  exit
fi
"""

NODES = "echo '16|64000|gpu:a100:4(S:0-1),nvme:1'; echo '8|32000|(null)'"


class FakeSlurm:
    """A folder of commands ahead of the PATH; `asked` lists the arguments of every call.

    The queue is empty, sbatch accepts everything as 41, 42 and so on, and there is no accounting.
    Failures are tried again without a pause.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self._asked = folder / "bin", folder / "asked"
        self.bin.mkdir(parents=True)
        monkeypatch.setenv("PATH", f"{self.bin}:{os.environ['PATH']}")
        monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
        for module in (commands, sbatch):
            monkeypatch.setattr(module, "WAITS", (0.0, 0.0, 0.0))
        cluster.settings.cache_clear()
        self.put("squeue", "")
        self.put("sbatch", "echo $((40 + CALL))")
        self.put("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
        self.put("scontrol", f"{PARTITIONS} {CONFIG} 1001")
        self.put("sinfo", NODES)
        self.put("sacctmgr", "echo 'not running a supported accounting_storage plugin' >&2; exit 1")

    def put(self, name: str, script: str) -> None:
        """Install a command; `$CALL` counts its calls from 1."""
        log = self._asked / name
        log.parent.mkdir(exist_ok=True)
        head = f'#!/bin/sh\necho "$@" >> {log}\nCALL=0; while read -r _; do CALL=$((CALL + 1)); '
        head += f"done < {log}\n"
        (self.bin / name).write_text(f"{head}{script}\n")
        (self.bin / name).chmod(0o755)

    def asked(self, name: str) -> list[str]:
        log = self._asked / name
        return log.read_text().splitlines() if log.exists() else []
