"""gpu-check runs whole on the stand-in, so that no typo is left for the day on a card."""

import json
import subprocess
import sys

import pytest
import torch

from sweeps.gpu_check import speed
from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check, perform
from sweeps.gpu_check.speed import GOALS
from tests.standin.build import NoCompilerError, library


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_check_passes_or_is_measured(tmp_path):
    """As a user calls it, in a process of its own."""
    try:
        library()
    except NoCompilerError as error:
        pytest.skip(str(error))
    ended = subprocess.run(
        [sys.executable, "-m", "isoflop", "gpu-check", f"out={tmp_path}", "device=standin"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = tmp_path / "report.md"
    assert ended.returncode == 0, ended.stdout + ended.stderr + report.read_text()
    results = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert {r["status"] for r in results.values()} == {"pass", "measured"}
    measured = {name for name, r in results.items() if r["status"] == "measured"}
    assert measured == {"kernels", "factors", "packing", *(f"mfu_d{d}" for d in GOALS)}
    assert results["losses"]["got"]["masked-gpt2-bf16-micro_batch-3"]["held"]
    assert results["packing"]["got"]["plain"]["2"] > 0
    assert results["memory_left"]["got"]["bytes"] == [0, 0, 0, 0]
    assert "| losses | pass |" in report.read_text()
    assert not (tmp_path / "runs").exists()


def test_checks_that_may_take_longer_than_is_left_are_skipped_and_named(tmp_path):
    def check(name: str, seconds: float) -> Check:
        return Check(name, "it holds", lambda: (True, {}), turn=0, seconds=seconds)

    checks = [check("short", 1), check("long", 60), check("short_again", 1)]
    results = perform(checks, tmp_path, lambda line: None, budget=30)
    assert [result.status for result in results] == ["pass", "skipped", "pass"]
    report = (tmp_path / "report.md").read_text()
    assert "| long | skipped |" in report
    assert "it may take 60; use minutes=N" in report
    assert json.loads((tmp_path / "long.json").read_text())["reason"] in report


def test_a_check_that_raises_fails_and_the_others_go_on(tmp_path):
    def broken():
        raise ValueError("no kernel image")

    checks = [
        Check("broken", "it holds", broken, turn=0, seconds=1),
        Check("fine", "it holds", lambda: (True, {}), turn=1, seconds=1),
    ]
    assert [r.status for r in perform(checks, tmp_path, lambda line: None)] == ["fail", "pass"]
    assert "ValueError: no kernel image" in (tmp_path / "report.md").read_text()


def test_the_allowances_of_the_checks_that_judge_fit_the_nine_minutes(tmp_path):
    from sweeps.gpu_check import correctness, launches, memory, ranks

    card = Card(torch.device("cpu"), tmp_path, real=True)
    rooms = (correctness, memory, launches, ranks)
    judging = [check for room in rooms for check in room.checks(card)]
    runs = [check for check in speed.checks(card) if check.name.startswith("mfu")]
    eager = [check for check in judging if check.name != "losses_compiled"]
    assert sum(check.seconds for check in (*eager, *runs)) <= 9 * 60 + 60
    assert len({check.turn for check in (*judging, *runs)}) == len(judging) + len(runs)


def test_overlapping_kernels_count_once_in_the_busy_share():
    assert speed.busy_share([(0, 4), (1, 2), (3, 5), (9, 10)]) == pytest.approx(0.6)
    assert speed.busy_share([]) is None


def test_without_a_gpu_it_says_so(capsys):
    from sweeps.gpu_check.__main__ import NO_GPU, main

    if torch.accelerator.is_available():
        pytest.skip("there is a GPU here")
    assert main([]) == NO_GPU
    assert "sees no GPU" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert main(["outt=x"]) == NO_GPU
    assert main(["device=gpu"]) == NO_GPU
    assert "expected device=auto" in capsys.readouterr().out
