"""What import-linter can't see: sizes of rooms, pure modules, a start without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("isoflop", "train", "sweeps", "eval", "analysis")
MOST_FILES = 15
MOST_LINES = 300

PURE = (
    "train/config/identity", "train/config/spec", "train/config/parts",
    "train/config/run_config", "train/config/flops",
    "train/config/gpu_peaks", "train/config/shapes", "train/config/hyperparameters",
    "train/config/lr_schedule", "train/config/resolve", "train/config/decode",
    "train/config/wsd_branching",
    "train/data/sampler", "train/rundir/record_fields",
    "sweeps/spec/grids", "sweeps/spec/design", "sweeps/plan/expand",
    "sweeps/plan/cell", "sweeps/plan/cost_model", "sweeps/plan/branching",
    "sweeps/plan/hardware_estimate", "sweeps/design/predict", "sweeps/design/candidates",
    "sweeps/design/search", "sweeps/design/next_runs", "sweeps/simulate/simulated_runs",
    "eval/tasks/generated", "eval/tasks/prompt_formats", "eval/tasks/heldout_split",
    "eval/tasks/arithmetic",
    "analysis/fits", "analysis/stats", "analysis/emergence/score",
    "analysis/studies/known_surfaces", "analysis/data/recipes", "analysis/data/cost_law",
    "analysis/data/run_arrays", "analysis/data/budgets", "analysis/data/curve_interpolation",
    "analysis/report/dark_mode",
)  # fmt: skip
"""Modules, and folders with all their modules, that only compute: no files, clock or tables."""

IMPURE_IMPORTS = {"torch", "hydra", "omegaconf", "wandb", "pandas", "logging", "os", "time", "io"}
IMPURE_NAMES = {"open", "print", "input", "Path"}


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def pure_modules() -> list[Path]:
    found = []
    for name in PURE:
        folder = ROOT / name
        found += sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    return found


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_packages_were_found():
    assert len(modules()) > 200
    assert all(path.exists() for path in pure_modules())


def test_layers_hold():
    """The contracts of pyproject.toml, with the linter's own words where one is broken."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_no_folder_is_crowded():
    folders = {path.parent for path in modules()}
    counts = {f: len([p for p in f.glob("*.py") if p.stem != "__init__"]) for f in folders}
    assert not {relative(f): count for f, count in counts.items() if count > MOST_FILES}


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_modules_are_short(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_every_room_says_what_lives_there():
    silent = [
        relative(path)
        for path in modules()
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


@pytest.mark.parametrize("path", pure_modules(), ids=relative)
def test_pure_modules_stay_pure(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Global):
            pytest.fail(f"{path} uses global state")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not roots & IMPURE_IMPORTS
    assert not names & IMPURE_NAMES


@pytest.mark.parametrize("package", ["train", "sweeps", "analysis"])
def test_commands_start_without_torch(package: str):
    code = f"import {package}.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
