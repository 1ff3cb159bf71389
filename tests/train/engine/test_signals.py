"""Stop signals: noted in any number and order, held and released."""

import signal
import subprocess
import sys
import threading

import pytest

from train.engine.signals import STOP_SIGNALS, Stopped, answer_at_once, held, stop_requests

INTERRUPTED = """
import signal, sys
from sweeps.launch.interrupts import on_interrupt
from train.engine.signals import stop_requests

def nothing(number):
    pass

def interrupt(frame, event, argument):
    signal.raise_signal(signal.SIGTERM)
    return interrupt

block = on_interrupt(nothing, nothing) if sys.argv[1] == "interrupts" else stop_requests()
with block as asked:
    sys.settrace(interrupt)
    signal.raise_signal(signal.SIGUSR2)
    sys.settrace(None)
    print(asked())
"""
"""SIGTERM comes at every single line of the handler of SIGUSR2."""


@pytest.fixture
def former_handlers():
    """Handlers as they were, once the test is over."""
    former = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def test_a_stop_is_noted_and_the_former_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGTERM)
        assert stopping()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("which", ["requests", "interrupts"])
def test_a_signal_that_interrupts_the_handler_of_another_is_no_deadlock(which):
    """A batch system and a launcher may both signal a worker at the same moment."""
    child = [sys.executable, "-c", INTERRUPTED, which]
    answer = subprocess.run(child, capture_output=True, text=True, timeout=20, check=True)
    assert answer.stdout == "True\n"


def test_held_signals_wait_and_are_answered_by_the_handler_that_comes(former_handlers):
    with held():
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)  # no other thread holds it
        with stop_requests() as stopping:
            assert not stopping()
        with pytest.raises(Stopped):
            answer_at_once()


def test_after_a_stop_at_once_further_signals_are_ignored_until_answers_are_asked_for(
    former_handlers,
):
    answer_at_once()
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGUSR2)
    answer_at_once()
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGUSR2)
