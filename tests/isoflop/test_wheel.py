"""The wheel in an environment of its own, outside any checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

import isoflop

ROOT = Path(__file__).parents[2]
PACKAGES = ("isoflop", "train", "sweeps", "eval", "analysis", "conf")
TINY = (
    "data=arithmetic", "data.parts.addition.options.n_items=5000", "data.val_tokens=2048",
    "model=d16", "horizon.n_tokens=2e4", "optim.batch_tokens=1024",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, so that nothing built before gets into it."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-w", "dist", "."], cwd=source, check=True, capture_output=True)
    (path,) = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """An environment that holds the wheel and sees the libraries that it needs."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "env"], check=True)
    python = place / "env" / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    # A path alone: the .pth files of that folder, such as an editable install's, are not read.
    libraries = Path(own.stdout.strip()) / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    # Ignored: this very version may be installed, editable, in the folder of libraries.
    subprocess.run([*pip, "--ignore-installed", wheel], check=True, capture_output=True)
    return place


def run(environment: Path, *words: str) -> str:
    """What `isoflop ...` printed in that environment, away from any checkout."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    answer = subprocess.run(
        [environment / "env" / "bin" / "isoflop", *words],
        cwd=environment,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.mark.slow
def test_the_wheel_holds_settings_templates_and_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    configurations = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "conf").rglob("*.yaml"))]
    assert {*configurations, "analysis/report/report.html.j2", "isoflop/py.typed"} <= {*names}
    tops = {name.split("/")[0] for name in names}
    assert tops == {*PACKAGES, f"isoflop-{isoflop.__version__}.dist-info"}


@pytest.mark.slow
def test_the_wheel_plans_trains_fits_and_reports(environment):
    assert "analyze" in run(environment, "--help")
    assert isoflop.__version__ in run(environment, "--version")
    others = [f"~sweep.grids.{name}" for name in ("addition", "addition_seeds", "codebook")]
    planned = run(environment, "sweep", "plan", "preset=demo", *others, "calibrate=false")
    assert "34 runs, 0 done" in planned
    trained = run(environment, "train", "one", *TINY)
    assert "finished: validation loss" in trained
    assert json.loads((environment / "one" / "record.json").read_text())["status"] == "finished"
    law = isoflop.Surface(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
    rows = [f"{n},{d},{law.loss(n, d)}" for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
    (environment / "runs.csv").write_text("\n".join(["n_params,n_tokens,loss", *rows]))
    fitted = run(environment, "analyze", "runs.csv", "fit.n_resamples=100", "out=report")
    assert "alpha 0.35" in fitted
    assert (environment / "report" / "report.html").stat().st_size > 10_000


def test_the_version_stands_in_one_place():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == isoflop.__version__
    assert not re.search(r"^version = \"", (ROOT / "pyproject.toml").read_text(), flags=re.M)
