"""`python -m sweeps.gpu_check [out=results/gpu-check]`: what this machine's GPU must prove.

Every result is written as soon as it is there, to OUT/NAME.json and OUT/report.md. Ends with
status 0 where nothing failed, 1 where something did, 2 without a GPU.
"""

import shutil
import sys
from pathlib import Path

import torch

from sweeps.gpu_check import correctness, speed
from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import perform
from train.config.shapes import complete_shape
from train.config.spec import ModelSpec

NO_GPU = 2
TINY = ModelSpec(d_model=64, vocab_size=512, seq_len=256)


def main(argv: list[str], real: bool = True) -> int:
    """Check the accelerator of this process.

    Args:    argv: `out=DIR` and nothing else; real: False for a stand-in, whose speed says nothing.
    """
    settings: dict[str, str] = {}
    for word in argv:
        name, _, value = word.partition("=")
        settings[name] = value
    if unknown := sorted(set(settings) - {"out", "tiny"}):
        asked = {"-h", "--help"} & set(unknown)
        print(__doc__ if asked else f"gpu-check: unknown {', '.join(unknown)}; it has out=DIR")
        return 0 if asked else NO_GPU
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        print(f"gpu-check: torch {torch.__version__} sees no GPU here; nothing was checked")
        return NO_GPU
    out = Path(settings.get("out") or "results/gpu-check")
    card = Card(device, out, real)
    if "tiny" in settings:
        print(speed.tiny_speed(card, complete_shape(TINY)))
        return 0
    shutil.rmtree(out / "runs", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    results = perform([*correctness.checks(card), *speed.checks(card)], out, print)
    failed = [result.name for result in results if result.status == "fail"]
    print(f"{len(failed)} of {len(results)} failed: {', '.join(failed)}" if failed else "passed")
    print(out / "report.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
