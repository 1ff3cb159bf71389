"""What is imported to stay is not looked through; Python's collector is as usual behind it."""

import gc

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
