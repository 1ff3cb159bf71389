from types import SimpleNamespace

import numpy as np
import pytest

from analysis.data.loss_table import TableError
from analysis.data.reading.json_tables import flattened
from analysis.data.reading.understand import TableOptions
from analysis.data.wandb_reader import read_wandb
from analysis.fits.surface import Surface
from train.trackers.names import NAMES, named

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


class FakeRun:
    def __init__(self, number, state="finished"):
        self.id, self.name, self.state = f"id{number}", f"run {number}", state
        self.n_params, self.n_tokens = 1e6 * 2.0**number, 1e9 * 1.5**number
        self.config = {"model": {"size": self.n_params}, "_wandb": {"x": 1}, "tags": [1, 2]}
        self.summary = {
            "n_tokens": self.n_tokens,
            "flops": 6 * self.n_params * self.n_tokens,
            "eval/loss": SURFACE.loss(self.n_params, self.n_tokens),
            "_step": 10,
        }
        self.downloads = 0

    def scan_history(self, keys):
        self.downloads += 1
        for share in (0.5, 1.0):
            n_tokens = self.n_tokens * share
            row = {
                "n_tokens": n_tokens,
                "flops": 6 * self.n_params * n_tokens,
                "eval/loss": SURFACE.loss(self.n_params, n_tokens),
            }
            if set(keys) <= row.keys():  # as W&B does: rows that have every key
                yield {key: row[key] for key in keys}


class FakeApi:
    def __init__(self, runs):
        self.held, self.asked = runs, None

    def runs(self, path, filters=None):
        self.asked = (path, filters)
        return iter(self.held)


COLUMNS = TableOptions({"n_params": "model.size", "loss": "eval/loss"})


def test_finished_runs_become_rows_and_others_exclusions(tmp_path):
    api = FakeApi([FakeRun(i) for i in range(6)] + [FakeRun(7, "crashed"), FakeRun(8, "running")])
    table = read_wandb("me/scaling", COLUMNS, {"group": "demo"}, tmp_path, api)
    assert api.asked == ("me/scaling", {"group": "demo"})
    assert table.texts("run_id").tolist() == [f"id{i}" for i in range(6)]
    assert table.numbers("n_params") == pytest.approx(1e6 * 2.0 ** np.arange(6))
    assert {(row.run_id, row.reason) for row in table.excluded} == {
        ("id7", "status failed"),
        ("id8", "status running"),
    }
    curves = table.training_curves(table.counted())
    assert len(curves) == 12
    assert curves.loss[1] == pytest.approx(table.numbers("loss")[0])


def test_histories_are_downloaded_once(tmp_path):
    runs = [FakeRun(i) for i in range(3)]
    first = read_wandb("me/scaling", COLUMNS, None, tmp_path, FakeApi(runs))
    again = read_wandb("me/scaling", COLUMNS, None, tmp_path, FakeApi(runs))
    assert [run.downloads for run in runs] == [1, 1, 1]
    assert again.curves.equals(first.curves)


class OwnRun(FakeRun):
    """A run that this program logged: its record as the summary, rows under trackers' names."""

    def __init__(self, number):
        super().__init__(number)
        loss = SURFACE.loss(self.n_params, self.n_tokens)
        self.summary |= {"n_params": self.n_params, "loss": loss}
        self.summary |= {NAMES[name]: self.summary[name] for name in ("loss", "n_tokens", "flops")}

    def scan_history(self, keys):
        for share in (0.5, 1.0):
            n_tokens = self.n_tokens * share
            loss = SURFACE.loss(self.n_params, n_tokens)
            row = named({"n_tokens": n_tokens, "flops": 6 * self.n_params * n_tokens, "loss": loss})
            if set(keys) <= row.keys():
                yield {key: row[key] for key in keys}


def test_own_runs_are_read_without_naming_columns(tmp_path):
    runs = [OwnRun(i) for i in range(6)]
    table = read_wandb("me/scaling", TableOptions(), None, tmp_path, FakeApi(runs))
    curves = table.training_curves(table.counted())
    assert len(curves) == 12
    assert curves.loss[1] == pytest.approx(table.numbers("loss")[0])


def test_no_runs_a_bad_name_and_missing_columns_say_so(tmp_path):
    with pytest.raises(TableError, match="no runs under filters"):
        read_wandb("me/scaling", COLUMNS, {"group": "x"}, tmp_path, FakeApi([]))
    with pytest.raises(TableError, match="entity/project"):
        read_wandb("scaling", COLUMNS, None, tmp_path, FakeApi([]))
    with pytest.raises(TableError, match="no column"):
        read_wandb(
            "me/scaling", TableOptions({"loss": "test/loss"}), None, tmp_path, FakeApi([FakeRun(1)])
        )


def test_refused_access_is_one_clear_line(tmp_path):
    def refuse(path, filters=None):
        raise ValueError("Could not find project scaling")

    with pytest.raises(TableError, match="wandb login"):
        read_wandb("me/scaling", COLUMNS, None, tmp_path, SimpleNamespace(runs=refuse))


def test_nested_settings_are_flattened_and_lists_left_out():
    assert flattened({"a": {"b": {"c": 1}}, "d": [1], "e": None}) == {"a.b.c": 1, "e": None}
