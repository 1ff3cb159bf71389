"""docs/tutorial.md, typed as it stands, at a size that takes seconds."""

import json
import shlex
import sysconfig
from pathlib import Path

import pytest

from tests.support.pages import ROOT, blocks, type_in

PAGE = ROOT / "docs" / "tutorial.md"
COMMANDS = [block.text.strip() for block in blocks(PAGE) if not block.language]
# Behind a command as the page has it: the later of two values of one setting counts.
SMALL = (
    "'sweep.grids.isoflop.budgets=[2e8,4e8,8e8]' 'sweep.grids.isoflop.d_models=[8,12,16,24]' "
    "data.val_tokens=8192 runtime.n_evals=1 calibrate=false"
)


def test_it_has_six_commands_and_the_first_two_only_get_and_set_up():
    assert len(COMMANDS) == 6
    assert COMMANDS[0].startswith("git clone ") and COMMANDS[1].startswith("make setup ")
    plan, launch = (shlex.split(command) for command in COMMANDS[2:4])
    assert plan[:3] == ["isoflop", "sweep", "plan"]
    assert launch == ["isoflop", "sweep", "launch", *plan[3:]]


@pytest.mark.slow
@pytest.mark.timeout(900)  # several processes, each of which imports torch
def test_the_other_four_lead_from_a_folder_of_text_to_a_report_and_a_proposal(tmp_path):
    (tmp_path / "mytext").mkdir()
    library = Path(sysconfig.get_paths()["stdlib"])
    for name in ("argparse", "typing", "inspect", "tarfile"):
        text = (library / f"{name}.py").read_text(encoding="utf-8")
        (tmp_path / "mytext" / f"{name}.txt").write_text(text, encoding="utf-8")
    plan, launch, analyze, propose = COMMANDS[2:]
    assert "12 runs, 0 done" in type_in(ROOT, f"{plan} {SMALL}", tmp_path)
    assert "12 finished" in type_in(ROOT, f"{launch} {SMALL} launcher.kind=inline", tmp_path)
    printed = type_in(ROOT, f"{analyze} fit.n_resamples=100", tmp_path)
    assert "12 runs fitted, 0 excluded" in printed
    assert printed.splitlines()[-1] == "results/mine/analysis/report.html"
    assert (tmp_path / "results/mine/analysis/report.html").is_file()
    fits = json.loads((tmp_path / "results/mine/analysis/fits.json").read_text())
    assert fits["fitted"]
    assert "results/mine/analysis/proposal.yaml" in type_in(ROOT, propose, tmp_path)
