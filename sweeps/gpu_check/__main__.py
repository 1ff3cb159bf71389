"""`isoflop gpu-check [out=results/gpu-check] [device=standin] [minutes=9]`: what a GPU must prove.

Every result is written as soon as it is there, to OUT/NAME.json and OUT/report.md. A check whose
allowance is more than is left of the minutes is skipped and named. device=standin makes the same
checks on the tests' stand-in for a GPU, whose speed says nothing; it needs the repository and a C++
compiler. Ends with status 0 where nothing failed, 1 where something did, 2 without a GPU.
"""

import shutil
import sys
from pathlib import Path

import torch

from sweeps.gpu_check import correctness, launches, memory, packing, ranks, speed, standin
from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import perform

NO_GPU = 2
SETTINGS = {"out": "results/gpu-check", "device": "auto", "minutes": "9"}


def main(argv: list[str]) -> int:
    """Check the accelerator of this process and return the exit status."""
    settings = {word.partition("=")[0]: word.partition("=")[2] for word in argv}
    if unknown := sorted(set(settings) - set(SETTINGS)):
        asked = {"-h", "--help"} & set(unknown)
        print(__doc__ if asked else f"gpu-check: unknown {', '.join(unknown)}; see --help")
        return 0 if asked else NO_GPU
    settings = SETTINGS | settings
    if settings["device"] not in ("auto", "standin") or not settings["minutes"].isdigit():
        print("gpu-check: expected device=auto or standin, and minutes=N")
        return NO_GPU
    if settings["device"] == "standin":
        try:
            standin.load()
        except standin.NoStandinError as error:
            print(f"gpu-check: {error}")
            return NO_GPU
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        print(f"gpu-check: torch {torch.__version__} sees no GPU here; nothing was checked")
        return NO_GPU
    card = Card(device, Path(settings["out"]), real=settings["device"] == "auto")
    _clear(card.out)
    rooms = (correctness, memory, launches, ranks, speed, packing)
    checks = sorted((check for room in rooms for check in room.checks(card)), key=lambda c: c.turn)
    budget = 60.0 * int(settings["minutes"])
    results = perform(checks, card.out, print, budget if card.real else None)
    shutil.rmtree(card.out / "runs", ignore_errors=True)  # gigabytes of weights
    failed = [result.name for result in results if result.status == "fail"]
    print(f"{len(failed)} of {len(results)} failed: {', '.join(failed)}" if failed else "passed")
    print(f"the report, for an issue: {card.out / 'report.md'}")
    return 1 if failed else 0


def _clear(out: Path) -> None:
    """Take away what an earlier check left, and nothing else."""
    for name in ("runs", "evals", "corpus", "logs"):
        shutil.rmtree(out / name, ignore_errors=True)
    for path in (*out.glob("*.json"), out / "report.md"):
        path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
