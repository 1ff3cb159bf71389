"""Checks of what the launcher does on a card: a sweep in which one run breaks the device."""

import json

from sweeps.gpu_check.card import Card, answer_of
from sweeps.gpu_check.results import Check, Found

MOST_LAUNCHER_BYTES = 1e9
POOL_SECONDS = 120.0


def checks(card: Card) -> list[Check]:
    """One sweep answers both questions."""
    return [
        Check(
            "pool",
            "of four runs in a pool one meets a device-side assert and fails, the others finish in "
            "a fresh worker; the launcher stays under 1 GB, with nothing on the card",
            lambda: pool(card),
            50,
            60,
        )
    ]


def pool(card: Card) -> Found:
    job = card.job(n_steps=10 if card.real else 4)
    names = ("pool-1", "pool-2-assert", "pool-3", "pool-4")
    run_dirs = [card.run_dir(name, job) for name in names]
    child = card.child("pool", *map(str, run_dirs))
    got = json.loads(answer_of(child, POOL_SECONDS))
    ends = {name: got["ended"][name][0] for name in names}
    expected = {name: "failed" if name.endswith("assert") else "finished" for name in names}
    small = got["launcher_bytes"] < MOST_LAUNCHER_BYTES and not got["launcher_bytes_on_card"]
    return ends == expected and small and not got["launcher_has_torch"], got
