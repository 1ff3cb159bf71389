"""`isoflop gpu-check`: what this machine's GPU must prove; see `sweeps.gpu_check`."""

from collections.abc import Sequence

from sweeps.gpu_check.__main__ import main as check


def main(arguments: Sequence[str], prog: str) -> int:
    """Run the checks and return the exit status: 0 passed, 1 failed, 2 without a GPU."""
    return check(list(arguments))
