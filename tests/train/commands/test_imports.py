"""What is imported to stay is not looked through; Python's collector is as usual behind it."""

import gc
import subprocess
import sys

import pytest

from train.commands.imports import imports_that_stay


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_is_imported_is_frozen_and_the_collector_is_back() -> None:
    with imports_that_stay():
        during, kept = gc.isenabled(), [[]]
    assert not during and gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert not any(one is kept for one in gc.get_objects())


def test_a_library_that_is_missing_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError, match="no such library"), imports_that_stay():
        raise ImportError("no such library")
    assert gc.isenabled()


def test_what_is_there_at_the_end_of_a_process_is_not_looked_through_either() -> None:
    code = (
        "import gc; from train.commands.imports import imports_that_stay\n"
        "with imports_that_stay(): import json\n"
        "class Circle: __del__ = lambda self: print('looked at')\n"
        "kept = [Circle() for _ in range(3)]; [vars(one).update(me=one) for one in kept]; del kept"
    )
    with_it = [sys.executable, "-P", "-c", code]
    without = [*with_it[:-1], code.replace("with imports_that_stay(): ", "")]
    said = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in (with_it, without)
    ]
    assert said == ["", "looked at\n" * 3]
