"""Several tiny runs side by side: on the card, with and without MPS, and on the machine's cores."""

import subprocess
from collections.abc import Mapping
from typing import Any

from sweeps.gpu_check.card import Card, answer_of
from sweeps.gpu_check.results import Check, Found
from sweeps.launch.mps import NoMpsError, mps
from sweeps.plan.machine import usable_cores
from train.config.spec import IsoflopError

PACKED = (1, 2, 4, 8, 16)
TIMED_SECONDS, MOST_SECONDS = 3.0, 60.0


def checks(card: Card) -> list[Check]:
    """The last, since it decides settings and not whether they are right."""
    return [
        Check(
            "packing",
            "measured: tokens per second of 1 to 16 tiny runs together, and of a run a CPU core",
            lambda: packing(card),
            99,
            120,
        )
    ]


def packing(card: Card) -> Found:
    counts = PACKED if card.real else (1, 2)
    got: dict[str, Any] = {"plain": _on_card(card, counts, {})}
    try:
        with mps(card.out / "mps") as environment:
            got["mps"] = _on_card(card, counts, environment)
    except NoMpsError as error:
        got["mps"] = str(error)
    cores = len(usable_cores()) if card.real else 1
    got["cores"] = {str(cores): together(card, cores, "cpu", {"CUDA_VISIBLE_DEVICES": ""})}
    return None, got


def _on_card(
    card: Card, counts: tuple[int, ...], environment: Mapping[str, str]
) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for count in counts:
        try:
            found[str(count)] = together(card, count, card.device.type, environment)
        except IsoflopError as error:  # of more than fit
            found[str(count)] = str(error)
    return found


def together(card: Card, count: int, device: str, environment: Mapping[str, str]) -> float:
    """Tokens per second of all, who begin once each has said that it is ready.

    Raises:  IsoflopError: one of them failed.
    """
    seconds = TIMED_SECONDS if card.real else 0.2
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    threads = dict.fromkeys(names, "1")
    begun: list[subprocess.Popen[str]] = []
    try:
        for _ in range(count):
            begun.append(card.child("tiny", str(seconds), device, **{**environment, **threads}))
        for child in begun:
            assert child.stdout is not None  # opened with a pipe
            child.stdout.readline()
        for child in begun:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        return sum(float(answer_of(child, MOST_SECONDS)) for child in begun)
    finally:
        for child in begun:
            if child.poll() is None:
                child.kill()
            child.communicate()
