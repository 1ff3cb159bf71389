"""Tokens per second of a training step: the harness, a bare loop, Hugging Face Trainer, litgpt.

    python -m venv bench-litgpt
    bench-litgpt/bin/pip install litgpt==0.5.13 torch==2.13.0
    python -m benchmarks.train_step litgpt=bench-litgpt/bin/python [d_models=32,64,128,256]
        [starts=3] [rounds=7] [seconds=0.7] [contenders=harness,bare,auto,trainer,litgpt]

4 layers, 4 heads, vocabulary 512, 8 rows of 256 tokens, one thread. Contenders are processes that
take turns on one core (benchmarks/metronome.py); a ratio is the median over rounds of the two times
in that round. Where a process finds its memory changes its speed by some per cent, so that all are
started again `starts` times. `auto` is the harness with precision=auto; it is the same process as
`harness` where that comes to float32. All others train in float32, but for contenders that have to
be asked for: bf16, compiled, bf16_compiled and bare_bf16.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, parse, report
from benchmarks.metronome import Contender
from train.config.precision import realised_precision
from train.config.shapes import d_ff_for

SHAPE = {"seq_len": 256, "rows": 8, "vocab": 512, "layers": 4, "heads": 4}
OVER_OTHERS = 1.1
AUTO_GOALS = {64: 1.3, 128: 1.6, 256: 1.8}
OF_BARE = 0.97

PRECISION = {"auto": "auto", "bf16": "bf16", "bf16_compiled": "bf16", "bare_bf16": "bf16"}
COMPILED = ("compiled", "bf16_compiled")
OURS = ("auto", "bf16", *COMPILED)
"""Contenders that are the harness with other settings."""


def steps_a_round(d_model: int, seconds: float) -> int:
    """Steps that take about `seconds` at the speed of an eager loop here."""
    return max(3, round(seconds * 25 / (1 + (d_model / 64) ** 1.5)))


@contextmanager
def contender(name: str, d_model: int, every: int, litgpt: str | None) -> Iterator[Contender]:
    """A started and warmed process of that name."""
    with tempfile.TemporaryDirectory() as scratch:
        request: dict[str, Any] = SHAPE | {
            "d_model": d_model,
            "d_ff": d_ff_for(d_model, "llama"),
            "precision": realised_precision(PRECISION.get(name, "fp32"), "cpu", d_model),
            "compile": "on" if name in COMPILED else "auto",
            "every": every,
            "scratch": scratch,
        }
        if name == "litgpt":
            assert litgpt is not None
            loop = str(Path(__file__).with_name("litgpt_loop.py"))
            command = [litgpt, loop, json.dumps(request)]
        else:
            loop = "harness" if name in OURS else name.removesuffix("_bf16")
            command = [sys.executable, "-m", "benchmarks.loops", loop, json.dumps(request)]
        started = Contender(command, Path(scratch) / "log")
        try:
            yield started
        finally:
            started.close()


def measure(
    d_model: int, names: list[str], rounds: int, seconds: float, litgpt: str | None
) -> dict[str, list[float]]:
    """Tokens per second of every contender in every round, processes started once."""
    every = steps_a_round(d_model, seconds)
    tokens = every * SHAPE["rows"] * SHAPE["seq_len"]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(contender(name, d_model, every, litgpt)) for name in names
        }
        for one in running.values():
            one.ready()
        for number in range(rounds):
            # Who follows whom changes: a contender finds the caches as the last one left them.
            for name in names if number % 2 else reversed(names):
                speeds[name].append(tokens / running[name].round())
    return speeds


def compared(d_model: int, speeds: dict[str, list[float]]) -> list[Figure]:
    """Speeds, and the ratios that have goals."""

    def ratio(ours: str, theirs: str) -> float | None:
        if ours not in speeds or theirs not in speeds:
            return None
        pairs = zip(speeds[ours], speeds[theirs], strict=True)
        return statistics.median(a / b for a, b in pairs)

    found = [
        Figure(f"d{d_model} {name}", statistics.median(values) / 1e3, "k tokens/s")
        for name, values in speeds.items()
    ]
    goals = [("harness", "bare", OF_BARE)]
    goals += [("harness", other, OVER_OTHERS) for other in ("trainer", "litgpt")]
    if d_model in AUTO_GOALS:
        goals += [("auto", other, AUTO_GOALS[d_model]) for other in ("trainer", "litgpt")]
    for ours, theirs, goal in goals:
        value = ratio(ours, theirs)
        note = "" if value is not None else f"{theirs if ours in speeds else ours} did not run"
        found.append(Figure(f"d{d_model} {ours} / {theirs}", value, "x", goal, note=note))
    return found


def main(arguments: list[str]) -> int:
    known = ("litgpt", "d_models", "starts", "rounds", "seconds", "contenders")
    settings = parse(arguments, __doc__, known)
    names = settings.get("contenders", "harness,bare,auto,trainer,litgpt").split(",")
    if "litgpt" not in settings and "litgpt" in names:
        names.remove("litgpt")
        print("litgpt=PYTHON is not given, so litgpt is not run; --help says how to set it up")
    rounds, seconds = int(settings.get("rounds", 7)), float(settings.get("seconds", 0.7))
    figures = []
    for d_model in map(int, settings.get("d_models", "32,64,128,256").split(",")):
        auto = realised_precision("auto", "cpu", d_model)
        started = [name for name in names if name != "auto" or auto != "fp32"]
        speeds: dict[str, list[float]] = {}
        for _ in range(int(settings.get("starts", 3))):
            once = measure(d_model, started, rounds, seconds, settings.get("litgpt"))
            for name, values in once.items():
                speeds.setdefault(name, []).extend(values)
        if "auto" in names:
            speeds.setdefault("auto", speeds["harness"])
        found = compared(d_model, speeds)
        print(*(f"{one.what}: {one.shown}" for one in found), sep="; ", file=sys.stderr)
        figures += found
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
