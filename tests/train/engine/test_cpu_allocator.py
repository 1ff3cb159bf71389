import platform
import resource

import pytest
import torch

from train.engine.cpu_allocator import freed_memory_kept

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")


def page_faults(n_blocks: int, megabytes: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_blocks):
        torch.zeros(megabytes * 2**18).add_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident_pages() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


@glibc
def test_a_block_freed_and_asked_for_again_is_not_cleared_by_the_system_again():
    with freed_memory_kept() as kept:
        assert kept
        page_faults(2, megabytes=64)  # the heap has grown
        pages_of_a_block = 64 * 2**20 // resource.getpagesize()
        # Cleared each time they would be 40 blocks; a heap in pieces may have to grow a few times.
        assert page_faults(40, megabytes=64) < 20 * pages_of_a_block


@glibc
def test_what_was_kept_goes_back_afterwards():
    with freed_memory_kept():
        page_faults(1, megabytes=200)
        during = resident_pages()
    freed = (during - resident_pages()) * resource.getpagesize()
    assert freed > 150 * 2**20


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with freed_memory_kept() as kept:
        assert not kept
