"""The notebooks run from top to bottom, and import nothing of ours but `isoflop`."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
OURS = {"train", "sweeps", "eval", "analysis", "conf", "tests"}


def code(notebook: Path) -> str:
    """The code of a notebook's cells, which use no magic of Jupyter's."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def imported(source: str) -> set[str]:
    """The top-level names of the modules that some code imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or ".").split(".")[0])
    return names


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_isoflop_is_all_that_a_notebook_imports_of_ours(notebook):
    assert "isoflop" in imported(code(notebook))
    assert not imported(code(notebook)) & OURS


def test_there_are_two_and_their_page_names_them():
    page = (ROOT / "docs" / "notebooks" / "index.md").read_text()
    assert len(NOTEBOOKS) == 2
    assert all(f"({notebook.name})" in page for notebook in NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path):
    """In a fresh interpreter, as a kernel would: no Jupyter is needed for that."""
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code(notebook)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
