"""Every benchmark with a goal, one after another, and one table of figures beside their goals.

    make bench
    python -m benchmarks [litgpt=PYTHON] [lm_eval=PYTHON] [only=train_step,startup,...]
        [figure=PATH of scaling's] [json=PATH]

Exit status 1 where a figure misses its goal or a benchmark fails; what needs an environment that is
not there (litgpt, lm_eval) is not measured and no miss. Machine and date stand above the table,
which docs/performance.md holds as it was printed.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, machine, parse, read, table

SHORT = {
    "train_step": ["starts=1", "rounds=5", "seconds=0.3"],
    "startup": [],
    "sweep": ["grid=demo", "serial=0"],
    "evaluation": ["n_items=20000"],
    "fits": ["stride=900"],
    "curves": [],
    "named_tasks": [],
    "score_tables": [],
    "scaling": ["sizes=10,3000,10000", "trained=300"],
    "tokenising": [],
}
"""Benchmarks in order, with the settings that keep all of them to some twelve minutes."""


def run(name: str, arguments: list[str]) -> list[Figure]:
    """Figures of one benchmark, in a process of its own; a failure is a goal that is missed."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "figures.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, f"json={path}"]
        started = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        if path.exists():
            return read(path)
        note = f"ended with status {done.returncode}"
        return [Figure(f"{name}: failures", 1, at_most=0, note=note)]


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("litgpt", "lm_eval", "only", "figure"))
    names = settings["only"].split(",") if "only" in settings else list(SHORT)
    unknown = [name for name in names if name not in SHORT]
    if unknown:
        sys.exit(f"only={unknown[0]} is unknown; expected some of {', '.join(SHORT)}")
    given = {"train_step": "litgpt", "evaluation": "lm_eval", "scaling": "figure"}
    figures: list[Figure] = []
    for name in names:
        other = given.get(name)
        extra = [f"{other}={settings[other]}"] if other in settings else []
        figures += run(name, SHORT[name] + extra)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n\n{table(figures)}")
    if "json" in settings:
        Path(settings["json"]).write_text(json.dumps([asdict(one) for one in figures], indent=1))
    missed = [one for one in figures if one.outcome == "MISSED"]
    absent = [one for one in figures if one.outcome == "not measured"]
    print(f"\n{len(missed)} of {len(figures)} figures miss their goal; {len(absent)} not measured")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
