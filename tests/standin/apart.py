"""Tests whose body runs in a process that has the stand-in for its accelerator.

One such process serves all tests of a pytest worker, so that torch is imported once. A crash of the
device fails the test that caused it, and the next one gets a fresh process.
"""

import functools
import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from tests.standin.build import NoCompilerError, library

_processes: list[ProcessPoolExecutor] = []


def on_standin(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test function on the stand-in; its arguments must be picklable.

    Without a compiler the test is skipped, with the reason.
    """

    @functools.wraps(test)
    def started(**arguments: Any) -> None:
        try:
            library()
        except NoCompilerError as error:
            pytest.skip(str(error))
        try:
            _process().submit(_run, test.__module__, test.__name__, arguments).result()
        except BrokenProcessPool:
            _processes.clear()
            raise

    return started


def _process() -> ProcessPoolExecutor:
    if not _processes:
        context = multiprocessing.get_context("spawn")
        _processes.append(ProcessPoolExecutor(1, mp_context=context, initializer=_load))
    return _processes[0]


def _load() -> None:
    from tests.standin import device

    device.load()


def _run(module: str, name: str, arguments: dict[str, Any]) -> None:
    test = getattr(importlib.import_module(module), name)
    test.__wrapped__(**arguments)
