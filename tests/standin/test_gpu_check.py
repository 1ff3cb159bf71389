"""gpu-check runs whole on the stand-in, so that no typo is left for the day on a card."""

import json

import pytest

from tests.standin.apart import on_standin


@pytest.mark.slow
@pytest.mark.timeout(600)
@on_standin
def test_every_check_passes_or_is_measured(tmp_path):
    from sweeps.gpu_check.__main__ import main

    assert main([f"out={tmp_path}"], real=False) == 0, (tmp_path / "report.md").read_text()
    results = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert {r["status"] for r in results.values()} == {"pass", "measured"}
    assert results["losses"]["got"]["masked-gpt2-bf16-compile-off-rows-3"]["held"]
    assert results["memory_left"]["got"]["bytes"] == [0, 0, 0, 0]
    assert "| losses | pass |" in (tmp_path / "report.md").read_text()


def test_without_a_gpu_it_says_so(capsys):
    import torch

    from sweeps.gpu_check.__main__ import NO_GPU, main

    if torch.accelerator.is_available():
        pytest.skip("there is a GPU here")
    assert main([]) == NO_GPU
    assert "sees no GPU" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert main(["outt=x"]) == NO_GPU
