"""The csv that W&B's own export button writes: quoted cells, State, config beside summary."""

import csv

import numpy as np
import pytest

from analysis.data.loss_table import TableError
from analysis.data.readers import read_file
from analysis.fits.surface import Surface

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
HEADER = ["Name", "State", "Notes", "Tags", "Created", "Runtime", "n_params", "tokens", "lr",
          "_step", "train/loss", "eval/loss"]  # fmt: skip


def export(path, states):
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(HEADER)
        for i, state in enumerate(states):
            n, d = 1e8 * 2.0 ** (i % 5), 2e9 * 3.0 ** (i // 5)
            loss = SURFACE.loss(n, d) * (1.0 if state.lower() == "finished" else 1.3)
            row = [f"run-{i}", state, "-", "", f"2026-01-{i + 1:02}T00:00:00.000Z", 3600 + i, n, d,
                   0.003, 1000 + i, loss * rng.uniform(0.99, 1.01), loss]  # fmt: skip
            writer.writerow(row)


@pytest.mark.parametrize("finished", ["finished", "Finished", "FINISHED"])
def test_only_finished_runs_are_fitted_in_any_capitals(tmp_path, finished):
    states = [finished] * 12 + ["crashed", "Failed", "killed"]
    export(tmp_path / "wandb.csv", states)
    table = read_file(tmp_path / "wandb.csv")
    assert len(table) == 12
    assert len(table.curves) == 0
    assert [(row.run_id, row.reason) for row in table.excluded] == [
        ("run-12", "status crashed"), ("run-13", "status failed"), ("run-14", "status killed")
    ]  # fmt: skip
    n, d = table.numbers("n_params"), table.numbers("n_tokens")
    assert table.numbers("loss") == pytest.approx(SURFACE.loss(n, d))


def test_a_column_of_other_states_is_no_status(tmp_path):
    export(tmp_path / "states.csv", ["Bavaria", "Saxony", "Hesse"] * 3)
    assert len(read_file(tmp_path / "states.csv")) == 9


def test_an_export_without_a_finished_run_says_so(tmp_path):
    export(tmp_path / "wandb.csv", ["crashed"] * 4)
    with pytest.raises(TableError, match="4 excluded, first reason: status crashed"):
        read_file(tmp_path / "wandb.csv")
