"""What this cluster is called and allows, as scontrol tells it."""

import os
import re
from functools import cache

from sweeps.slurm.commands import SlurmError, output

DEFAULT_ARRAY_LIMIT = 1000
"""Jobs per array where scontrol does not answer; Slurm's default MaxArraySize is 1001."""


@cache
def settings() -> dict[str, str]:
    """The cluster's configuration by key; empty where scontrol does not answer."""
    text = output(["scontrol", "show", "config"]) or ""
    pairs = re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return dict(pairs)


def cluster_name() -> str:
    """The name of this cluster, "" where it can't be learnt; a job knows its own by environment."""
    return os.environ.get("SLURM_CLUSTER_NAME") or settings().get("ClusterName", "")


def array_limit() -> int:
    """How many jobs one array may have.

    Indices run from 0 to MaxArraySize - 1.

    Raises:
        SlurmError: The cluster has switched arrays off.
    """
    given = settings().get("MaxArraySize", "")
    if not given.isdecimal():
        return DEFAULT_ARRAY_LIMIT
    if int(given) == 0:
        raise SlurmError(
            "this cluster has no job arrays (MaxArraySize=0), which launcher=slurm needs; use "
            "launcher=pool inside an allocation (salloc or a batch script of your own)"
        )
    return int(given)
