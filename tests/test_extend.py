"""docs/extend.md, followed to the letter: its edits in a copy of the source, then its commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.pages import ROOT, Block, blocks, copy_packages, type_in

PAGE = ROOT / "docs" / "extend.md"
EDIT = re.compile(r"In `([\w/.]+)`, (above|below|replace) `(.+?)`(?: by)?:")
NEW = re.compile(r"A new file `([\w/.]+)`:")


def apply(block: Block, source: Path) -> None:
    """Make the edit that a block's introduction asks for.

    Raises:  AssertionError: no edit that this test can follow, or the place is not there once.
    """
    if (new := NEW.fullmatch(block.intro)) is not None:
        (source / new[1]).write_text(block.text)
        return
    edit = EDIT.fullmatch(block.intro)
    assert edit is not None, f"nothing says where this goes: {block}"
    path, anchor = source / edit[1], edit[3]
    text = path.read_text()
    assert text.count(anchor) == 1, f"{edit[1]} has {anchor!r} {text.count(anchor)} times"
    if edit[2] == "replace":
        path.write_text(text.replace(anchor, block.text.rstrip("\n")))
        return
    line = next(line for line in text.splitlines(keepends=True) if anchor in line)
    assert line.rstrip("\n") == anchor, "an edit above or below names a whole line"
    both = block.text + line if edit[2] == "above" else line + block.text
    path.write_text(text.replace(line, both))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The packages with every edit of the page."""
    source = copy_packages(tmp_path_factory.mktemp("source"))
    for block in blocks(PAGE):
        if block.language:
            apply(block, source)
    return source


def test_every_edit_of_the_page_finds_its_place_and_leaves_valid_python(extended):
    edited = {match[1] for match in EDIT.finditer(PAGE.read_text())}
    assert len(edited) >= 6
    for name in edited:
        compile((extended / name).read_text(), name, "exec")


def typed(section: str, source: Path, place: Path) -> Path:
    """The results that the commands of a section leave, typed into an empty folder."""
    chosen = [block for block in blocks(PAGE) if block.section == section and not block.language]
    assert chosen, f"{PAGE.name} has no command under {section!r}"
    for block in chosen:
        for command in block.text.splitlines():
            type_in(source, command, place)
    return place / "results"


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
def test_a_task(extended, tmp_path):
    results = typed("A task", extended, tmp_path)
    (summary,) = (results / "rotation" / "scores").glob("*.json")
    rows = json.loads(summary.read_text())["rows"]
    assert {(row["task"], row["n_items"]) for row in rows if row["metric"] == "exact_match"} == {
        ("rotation-5", 50)
    }


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
def test_a_model_family(extended, tmp_path):
    checkpoint = typed("A model family", extended, tmp_path) / "mistral" / "checkpoint"
    assert json.loads((checkpoint / "config.json").read_text())["model_type"] == "mistral"
    weights = load_file(checkpoint / "model.safetensors")
    record = json.loads((checkpoint.parent / "record.json").read_text())
    # What count_params says of the shape is what the built module holds.
    assert record["n_params_total"] == sum(weight.numel() for weight in weights.values())


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
def test_a_hyperparameter_rule(extended, tmp_path):
    typed("A hyperparameter rule", extended, tmp_path)
    code = (
        "from train.config.hyperparameters import Scale, hyperparameters as rule;"
        "scale = Scale(10000, 1e6, 16, 2);"
        "print(rule('cautious', scale).lr_peak / rule('default', scale).lr_peak)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=extended, capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) == 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
def test_a_data_source(extended, tmp_path):
    run = typed("A data source", extended, tmp_path) / "calendar"
    assert json.loads((run / "record.json").read_text())["status"] == "finished"
    assert list(json.loads((run / "spec.json").read_text())["spec"]["data"]["parts"]) == [
        "calendar"
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
def test_a_tracker(extended, tmp_path):
    run = typed("A tracker", extended, tmp_path) / "spreadsheet"
    rows = (run / "metrics.csv").read_text().splitlines()
    assert rows[0] == "step,train/loss,eval/loss" and len(rows) > 2
    assert rows[-1].split(",")[2]  # the last row of a run carries a validation loss
