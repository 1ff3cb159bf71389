"""Tokens per second of a training step: the harness, a bare loop, Hugging Face Trainer, litgpt.

    python -m venv bench-litgpt
    bench-litgpt/bin/pip install litgpt==0.5.13 torch==2.13.0
    python -m benchmarks.train_step litgpt=bench-litgpt/bin/python [d_models=8,12,16,32,...,512]
        [starts=2] [rounds=5] [seconds=0.4] [contenders=harness,bare,...] [kernels=auto]

4 layers, 4 heads (2 below width 16), vocabulary 512, 8 rows of 256 tokens (2 below width 32 and at
512), one thread. Contenders are processes that take turns on one core (benchmarks/metronome.py); a
ratio is the median over rounds of the two times in that round. Where a process finds its memory
changes its speed by some per cent, so that all are started `starts` times; below width 32, where it
changes most, three times, but for what is compiled.

harness is eager float32. best may be compiled, where the measurement of this machine says that a
run of five minutes repays it, and auto has precision=auto as well; either is the same process as
the one before it where nothing else is chosen. transformers and bare are loops of a few lines
around the Hugging Face model and around our module. All others train in float32, but for those that
have to be asked for: bf16, compiled, bf16_compiled and bare_bf16. kernels=NAME (onednn, blocks,
onednn_blocks, library) is what another machine would choose.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, parse, report
from benchmarks.metronome import Contender, Forked
from train.config.shapes import d_ff_for
from train.speed.choice import has_compiler
from train.speed.machine import measured_table, with_compiled
from train.speed.precision import realised_precision
from train.speed.table import compiling_pays, eager_seconds

SHAPE = {"seq_len": 256, "vocab": 512, "layers": 4}
FEW_ROWS, ROWS = 2, 8

WIDTHS = "8,12,16,32,64,128,256,512"
COMPARED = ("harness", "bare", "transformers", "best", "auto", "trainer", "litgpt")
OTHERS = ("trainer", "litgpt")
AMONG_OTHERS = (32, 64, 128, 256)
"""Widths at which Trainer and litgpt are run."""

BEST_GOAL, EAGER_GOAL, OF_LOOPS, TINY_GOAL = 1.25, 1.05, 0.98, 1.5
AUTO_GOALS = {128: 1.6, 256: 2.0}
"""Where the measurement of the machine takes bf16: instructions alone do not make it faster."""

TINY_STARTS = 3

RUN_SECONDS = 300.0
"""Length of the run that has to repay its compiling."""

PRECISION = {"auto": "auto", "bf16": "bf16", "bf16_compiled": "bf16", "bare_bf16": "bf16"}
COMPILED = ("compiled", "bf16_compiled")
OURS = ("best", "auto", "bf16", *COMPILED)
"""Contenders that are the harness with other settings."""


def rows_of(d_model: int) -> int:
    """Rows of a batch: few for the tiny models, whose runs have small ones, and for the largest."""
    return ROWS if 32 <= d_model <= 256 else FEW_ROWS


def settings_of(name: str, d_model: int) -> tuple[str, str]:
    """(precision, compile) of a contender as the measurement of this machine has it."""
    precision = realised_precision(PRECISION.get(name, "fp32"), "cpu", d_model)
    if name in COMPILED:
        return precision, "on"
    chosen = name in ("best", "auto") and repays_compiling(d_model, precision)
    return precision, "on" if chosen else "off"


def repays_compiling(d_model: int, precision: str) -> bool:
    """Whether a run of five minutes is to be compiled on this machine."""
    table = measured_table(1)
    second = None if table is None else eager_seconds(table, d_model, precision, 1.0)
    if table is None or not second or not has_compiler():
        return False
    tried = with_compiled(1, d_model, precision) or table
    return compiling_pays(tried, d_model, precision, SHAPE["layers"], RUN_SECONDS / second)


def steps_a_round(d_model: int, seconds: float) -> int:
    """Steps that take about `seconds` at the speed of an eager loop here."""
    scale = ROWS / rows_of(d_model)
    return max(3, round(scale * seconds * 25 / (1 + (d_model / 64) ** 1.5)))


@contextmanager
def contender(
    name: str, d_model: int, every: int, litgpt: str | None, kernels: str
) -> Iterator[Contender | Forked]:
    """A started and warmed process of that name."""
    precision, compiled = settings_of(name, d_model)
    with tempfile.TemporaryDirectory() as scratch:
        request: dict[str, Any] = SHAPE | {
            "d_model": d_model,
            "d_ff": d_ff_for(d_model, "llama"),
            "rows": rows_of(d_model),
            "heads": 4 if d_model >= 16 else 2,
            "precision": precision,
            "compile": compiled,
            "kernels": kernels,
            "every": every,
            "scratch": scratch,
        }
        log = Path(scratch) / "log"
        if name == "litgpt":
            assert litgpt is not None
            loop = str(Path(__file__).with_name("litgpt_loop.py"))
            started = Contender([litgpt, loop, json.dumps(request)], log)
        else:
            from benchmarks.loops import LOOPS

            loop = "harness" if name in OURS else name.removesuffix("_bf16")
            started = Forked(LOOPS[loop], request, log)
        try:
            yield started
        finally:
            started.close()


def measure(
    d_model: int,
    names: Sequence[str],
    rounds: int,
    seconds: float,
    litgpt: str | None,
    kernels: str = "auto",
) -> dict[str, list[float]]:
    """Tokens per second of every contender in every round, processes started once."""
    every = steps_a_round(d_model, seconds)
    tokens = every * rows_of(d_model) * SHAPE["seq_len"]
    speeds: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(contender(name, d_model, every, litgpt, kernels))
            for name in names
        }
        for one in running.values():
            one.ready()
        for number in range(rounds):
            # Who follows whom changes: a contender finds the caches as the last one left them.
            for name in names if number % 2 else reversed(names):
                speeds[name].append(tokens / running[name].round())
    return speeds


def compared(d_model: int, speeds: dict[str, list[float]], takes_bf16: bool) -> list[Figure]:
    """Speeds, and the ratios that have goals on this kind of machine."""
    found = [
        Figure(f"d{d_model} {name}", statistics.median(values) / 1e3, "k tokens/s")
        for name, values in speeds.items()
    ]
    goals: list[tuple[str, tuple[str, ...], float]] = [
        ("harness", ("transformers", "bare"), OF_LOOPS)
    ]
    if d_model < 32:
        goals.append(("best", ("transformers",), TINY_GOAL))
    if d_model in AMONG_OTHERS:
        goals += [("harness", OTHERS, EAGER_GOAL), ("best", OTHERS, BEST_GOAL)]
    if d_model in AUTO_GOALS and takes_bf16:
        goals.append(("auto", OTHERS, AUTO_GOALS[d_model]))
    for ours, others, goal in goals:
        absent = [name for name in (ours, *others) if name not in speeds]
        present = [name for name in others if ours in speeds and name in speeds]
        ratios = [_ratio(speeds[ours], speeds[name]) for name in present]
        value = min(ratios) if ratios and (others != OTHERS or not absent) else None
        note = f"{' and '.join(absent)} did not run" if absent else ""
        found.append(
            Figure(f"d{d_model} {ours} / {' or '.join(others)}", value, "x", goal, note=note)
        )
    return found


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the rounds of both: the first ones, where one was started more often."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=False))


def processes(d_model: int, names: Sequence[str]) -> dict[str, str]:
    """Contender -> the one whose process it shares, since their settings are the same."""
    shared, found = {"harness": settings_of("harness", d_model)}, {}
    for name in names:
        mine = settings_of(name, d_model)
        same = next((other for other, its in shared.items() if its == mine), None)
        found[name] = same if name in ("best", "auto") and same and same in names else name
        if found[name] == name and name in ("best", "auto"):
            shared[name] = mine
    return found


def main(arguments: list[str]) -> int:
    known = ("litgpt", "d_models", "starts", "rounds", "seconds", "contenders", "kernels")
    settings = parse(arguments, __doc__, known)
    asked = settings.get("contenders", ",".join(COMPARED)).split(",")
    if "litgpt" not in settings and "litgpt" in asked:
        asked.remove("litgpt")
        print("litgpt=PYTHON is not given, so litgpt is not run; --help says how to set it up")
    rounds, seconds = int(settings.get("rounds", 5)), float(settings.get("seconds", 0.4))
    takes_bf16 = False
    figures = []
    for d_model in map(int, settings.get("d_models", WIDTHS).split(",")):
        names = [name for name in asked if name not in OTHERS or d_model in AMONG_OTHERS]
        shared = processes(d_model, names)
        once = [name for name in names if shared[name] == name]
        again = [name for name in once if settings_of(name, d_model)[1] == "off"]
        starts = int(settings.get("starts", 2))
        more = max(0, TINY_STARTS - starts) if d_model < 32 else 0
        speeds: dict[str, list[float]] = {}
        for started in [once] * starts + [again] * more:
            how = settings.get("litgpt"), settings.get("kernels", "auto")
            for name, values in measure(d_model, started, rounds, seconds, *how).items():
                speeds.setdefault(name, []).extend(values)
        gains = settings_of("auto", d_model)[0] == "bf16"
        takes_bf16 |= gains
        found = compared(d_model, {n: speeds[shared[n]] for n in names}, gains)
        print(*(f"{one.what}: {one.shown}" for one in found), sep="; ", file=sys.stderr)
        figures += found
    if not takes_bf16:
        print(
            "goals of precision=auto are of machines that were measured to gain by bf16: not here"
        )
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
