"""The end of a rank, in processes of their own."""

import subprocess
import sys

import pytest

LEAVING = """
import sys

import torch

from train.ranks.process_end import leave_after


class Kept:
    def __del__(self, write=sys.stderr.write):
        write("torn down")


def end():
    print("said")
    return 3 if sys.argv[2] == "returns" else 1 / 0


kept = Kept()
if sys.argv[1] == "ranks":
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
leave_after(end)
"""


@pytest.mark.parametrize("ends", ["returns", "raises"])
@pytest.mark.parametrize("ranks", ["ranks", "alone"])
def test_a_rank_ends_before_the_interpreter_is_torn_down(ranks: str, ends: str):
    """A thread of gloo that frees a tensor, or waits, during the teardown aborts the process."""
    ended = subprocess.run(
        [sys.executable, "-c", LEAVING, ranks, ends], capture_output=True, text=True, timeout=200
    )
    assert (ended.returncode, ended.stdout) == (3 if ends == "returns" else 1, "said\n")
    assert ("ZeroDivisionError" in ended.stderr) == (ends == "raises")
    assert ("torn down" in ended.stderr) == (ranks == "alone")
