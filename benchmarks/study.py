"""A prediction a hundred times beyond its fit (docs/study.md): train, fit, predict, then test.

    make study
    python -m benchmarks.study [out=results] [until=fit|prediction|test] [budgets=1e13,3e13,1e14]

Each step is a command of `isoflop` that goes on where it stopped, so that the whole may be killed
and repeated. What is predicted lies in OUT/study-prediction.json before a run of the test begins,
and is never written again once one has: another fit is tested on new runs, in another OUT.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.figures import parse
from train.rundir.atomic import read_json, write_json

BUDGETS = ("1e13", "3e13", "1e14")
FACTORS = (0.25, 4)
"""Parameters of the alternatives over the optimum's."""


def isoflop(*arguments: str, quiet: bool = False) -> str:
    """The output of a command, which is shown as it comes unless `quiet`."""
    command = [sys.executable, "-P", "-m", "isoflop", *arguments]
    if not quiet:
        print("$ isoflop", " ".join(arguments), flush=True)
        subprocess.run(command, check=True)
        return ""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def fit(root: Path) -> None:
    isoflop("sweep", "launch", "preset=study", f"out={root / 'study'}")
    isoflop("analyze", str(root / "study"))


def test_settings(root: Path, budget: str) -> list[str]:
    """Overrides of the sweep that tests one budget."""
    factors = ",".join(f"{factor:g}" for factor in FACTORS)
    return [
        f"out={root / f'study-{budget}'}",
        f"sweep.name=study-{budget}",
        f"validate.budget={budget}",
        f"validate.params_factor=[{factors}]",
        "sweep.seeds=[0]",
    ]


def cells(root: Path, budgets: Iterable[str]) -> pd.DataFrame:
    """The runs that a test will train, as planned: name, budget, n_params, n_tokens, run_id."""
    rows = []
    for budget in budgets:
        given = ["preset=validate", f"fit={root / 'study'}", *test_settings(root, budget)]
        plan = json.loads(
            isoflop("sweep", "plan", *given, "format=json", "calibrate=false", quiet=True)
        )
        rows += [
            {"name": f"{budget} {run['grid']}", "budget": float(budget), "cell": run["grid"],
             "n_params": run["n_params"], "n_tokens": run["n_tokens"], "run_id": run["run_id"]}
            for run in plan["runs"]
        ]  # fmt: skip
    return pd.DataFrame(rows)


def predict(root: Path, budgets: tuple[str, ...]) -> Path:
    """Write study-prediction.json: each law's loss for each run of the test and budget's best."""
    path = root / "study-prediction.json"
    started = [b for b in BUDGETS if list((root / f"study-{b}").glob("runs/*/metrics.jsonl"))]
    if started:
        begun = f"runs of {', '.join(started)} have begun"
        if not path.exists():
            sys.exit(f"{path} is missing, but {begun}: a prediction made now would know the answer")
        print(f"{path} stands as it was written: {begun}")
        return path
    planned = cells(root, budgets)
    table = root / "study-cells.csv"
    planned.drop(columns=["cell", "run_id"]).to_csv(table, index=False)
    asked = f"allocation.flops=[{','.join(budgets)}]"
    isoflop("predict", str(root / "study"), str(table), asked, "forms.by=flops")
    fits = (root / "study" / "analysis" / "fits.json").read_bytes()
    found = json.loads(fits)
    content = {
        "fits_sha256": hashlib.sha256(fits).hexdigest(),
        "cells": planned.to_dict("records"),
        "of_runs": found["predictions"],
        "of_the_best": found["allocation"],
        "by_forms": found.get("forms"),
    }
    write_json(path, content)
    return path


def test(root: Path, budgets: Iterable[str]) -> None:
    for budget in budgets:
        isoflop("sweep", "validate", str(root / "study"), *test_settings(root, budget))


def measured(root: Path, budgets: Iterable[str]) -> dict[str, float | str]:
    """run_id -> loss of the runs of the test that ended; of a run that did not finish, how."""
    found: dict[str, float | str] = {}
    for budget in budgets:
        for path in (root / f"study-{budget}").glob("runs/*/record.json"):
            record = read_json(path)
            finished = record["status"] == "finished"
            found[record["run_id"]] = record["loss"] if finished else record["status"]
    return found


def report(path: Path, measured: Mapping[str, float | str]) -> str:
    """Predicted beside measured, a line for every law and run; runs not yet trained are named.

    The interval is one for a run, seed noise included, but for "best of the budget": there it is
    the law's own.
    """
    content = read_json(path)
    lines = [
        "| run | N | D | measured | law | predicted | 95 % | error | held |",
        "|" + "---|" * 9,
    ]
    for cell in content["cells"]:
        shape = f"{cell['name']} | {cell['n_params']:,} | {cell['n_tokens']:.3g}"
        loss = measured.get(cell["run_id"], "not yet trained")
        for made in laws(content, cell):
            low, high = made["interval"]
            span = "–" if low is None else f"{low:.4f} to {high:.4f}"
            got, error, held = loss, "–", "–"
            if not isinstance(loss, str):
                got, error = f"{loss:.4f}", f"{100 * np.log(made['loss'] / loss):+.2f} %"
                held = "–" if low is None else ("yes" if low <= loss <= high else "no")
            lines.append(
                f"| {shape} | {got} | {made['law']} | {made['loss']:.4f} | {span} | {error} "
                f"| {held} |"
            )
    return "\n".join(lines)


def laws(content: dict[str, Any], cell: dict[str, Any]) -> list[dict[str, Any]]:
    """What each law says of one run: by N and D, and for the optimum by the best of its budget."""
    found = [
        {"law": one["approach"], "loss": one["loss"], "interval": one["prediction"]}
        for one in content["of_runs"]
        if one["point"]["n_params"] == cell["n_params"]
        and one["point"]["n_tokens"] == cell["n_tokens"]
    ]
    if cell["cell"] == "optimum":
        found += [
            {"law": f"{one['approach']}, best of the budget", "loss": one["loss"],
             "interval": one["loss_interval"]}
            for one in content["of_the_best"]
            if one["approach"] in ("envelope", "isoflop")
            and abs(one["flops"] / cell["budget"] - 1) < 1e-6
        ]  # fmt: skip
    return [one for one in found if one["loss"] is not None]


def main(arguments: list[str]) -> int:
    given = parse(arguments, __doc__, ("out", "until", "budgets"))
    root, until = Path(given.get("out", "results")), given.get("until", "test")
    budgets = tuple(given["budgets"].split(",")) if "budgets" in given else BUDGETS
    if until not in ("fit", "prediction", "test"):
        sys.exit(f"until={until} is unknown; expected fit, prediction or test")
    fit(root)
    if until == "fit":
        return 0
    path = predict(root, budgets)
    if until == "test":
        test(root, budgets)
    print(report(path, measured(root, budgets)))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
