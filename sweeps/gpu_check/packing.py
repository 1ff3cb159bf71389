"""Several tiny runs side by side: on the card, with and without MPS, and on the machine's cores."""

from collections.abc import Mapping
from typing import Any

from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check, Found
from sweeps.launch.mps import NoMpsError, mps
from sweeps.launch.packing import TIMED_SECONDS, time_together
from sweeps.plan.machine import usable_cores, visible_devices
from sweeps.spec.launcher import LauncherSpec
from train.commands.processes import python_command
from train.config.spec import IsoflopError

PACKED = (1, 2, 4, 8, 16)


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
    """By what a launch times to choose between them."""
    counts = PACKED if card.real else (2,)
    device = (*visible_devices(LauncherSpec()), "0")[0]
    got: dict[str, Any] = {"plain": _of_each(card, device, counts, {})}
    try:
        with mps(card.out / "mps") as variables:
            got["mps"] = _of_each(card, device, counts, variables)
    except NoMpsError as error:
        got["mps"] = str(error)
    got["cores"] = (
        _of_each(card, None, (len(usable_cores()),), {}) if card.real else "not timed here"
    )
    return None, got


def _of_each(
    card: Card, device: str | None, counts: tuple[int, ...], variables: Mapping[str, str]
) -> dict[str, float | str]:
    """Tokens per second of all together, by their number."""
    precision = "fp32" if device is None else "bf16"
    seq_len = 256 if card.real else 32
    job = card.job(rows=8, seq_len=seq_len, vocab_size=512, precision=precision)
    command = python_command("sweeps.gpu_check.child", "together")
    seconds = TIMED_SECONDS if card.real else 0.1
    found: dict[str, float | str] = {}
    for count in counts:
        try:
            speeds = time_together([job], device, count, variables, command, seconds)
            found[str(count)] = count * speeds[0].tokens_per_second if speeds else "does not fit"
        except IsoflopError as error:
            found[str(count)] = str(error)
    return found
