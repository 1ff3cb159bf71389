"""Who may import whom, and what a pure module may not touch (docs/design in one test)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("train", "sweeps", "eval", "analysis")

PURE = {
    "train": [
        "spec", "job", "flops", "peaks", "shapes", "hparams", "schedule", "batches", "resolve",
        "trunk", "columns",
    ],
    "sweeps": [
        "spec", "grid", "merge", "cost", "outlay", "predict", "simulation", "layout", "design",
        "proposals", "cell", "trunks",
    ],
    "eval": ["tasks", "formats", "split", "arithmetic"],
    "analysis": [
        "surface", "envelope", "isoflop", "parametric", "kaplan", "bootstrap", "emergence",
        "colour",
        "information", "truth",
        "losslaw", "least_loss", "recipes", "recount",
    ],
}  # fmt: skip
IMPURE_IMPORTS = {"torch", "hydra", "omegaconf", "wandb", "pandas", "logging", "os", "time", "io"}
IMPURE_NAMES = {"open", "print", "input", "Path"}

LEAVES_FOR_TRAINING_DATA = {"eval.tasks.generated", "eval.tasks.prompt_formats"}
"""Pure modules from which train's arithmetic source generates text; they import
train.config.spec.
"""


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.py"))]


def name_of(path: Path) -> str:
    return f"{path.parent.name}.{path.stem}"


def imported(path: Path) -> set[str]:
    """Dotted names of every project module that a file imports, at any depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            submodules = [
                f"{node.module}.{alias.name}"
                for alias in node.names
                if (ROOT / node.module / f"{alias.name}.py").exists()
            ]
            names |= set(submodules or [node.module])
    return {name for name in names if name.split(".")[0] in PACKAGES}


def allowed(importer: str, target: str) -> bool:
    package, target_package = importer.split(".")[0], target.split(".")[0]
    if package == target_package:
        return True
    if importer.endswith(".__main__") and target == "train.config.cli":
        return True
    if package == "train":
        return target in LEAVES_FOR_TRAINING_DATA
    if package == "eval":
        return target_package == "train"
    if package == "analysis":
        return target in {
            "train.config.spec", "train.config.run_config", "train.rundir.atomic",
            "train.rundir.record", "train.engine.trackers", "eval.metrics.per_item",
        }  # fmt: skip
    pure_analysis = {f"analysis.{name}" for name in PURE["analysis"]}
    return target_package in ("train", "eval") or target in pure_analysis


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_follow_the_design(path: Path):
    wrong = {target for target in imported(path) if not allowed(name_of(path), target)}
    assert not wrong


def test_there_are_no_import_cycles_among_modules():
    graph = {name_of(path): imported(path) for path in modules()}
    done, trail = set(), []

    def visit(name: str) -> None:
        assert name not in trail, f"cycle: {' -> '.join([*trail[trail.index(name) :], name])}"
        if name in done or name not in graph:
            return
        trail.append(name)
        for target in sorted(graph[name]):
            visit(target)
        done.add(trail.pop())

    for name in graph:
        visit(name)


@pytest.mark.parametrize("name", [f"{p}.{m}" for p, names in PURE.items() for m in names])
def test_pure_modules_stay_pure(name: str):
    package, module = name.split(".")
    tree = ast.parse((ROOT / package / f"{module}.py").read_text())
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Global):
            pytest.fail(f"{name} uses global state")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not roots & IMPURE_IMPORTS
    assert not names & IMPURE_NAMES


@pytest.mark.parametrize("door", ["train", "sweeps", "analysis"])
def test_front_doors_start_without_torch(door: str):
    import subprocess

    code = f"import {door}.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
