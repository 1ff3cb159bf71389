"""Records of the right types, and of the run whose directory they are in."""

import json

import pytest

from sweeps.directory.record_check import checked_record
from tests.support.sweep_fixtures import make_sweep
from train.rundir.atomic import RecordError


@pytest.fixture
def run_dir(tmp_path):
    return make_sweep(tmp_path, n_done=1)[0]


def change(run_dir, **values):
    path = run_dir / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_sound_record_is_read_and_none_is_none(run_dir):
    assert checked_record(run_dir).loss == 2.0
    change(run_dir, loss=None, n_tokens=5, flops=7)
    assert checked_record(run_dir).loss is None
    (run_dir / "record.json").unlink()
    assert checked_record(run_dir) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_params": "many"}, "n_params: got 'many'; expected whole number"),
        ({"n_params": None}, "n_params: got null; expected whole number"),
        ({"seed": True}, "seed: got True; expected whole number"),
        ({"loss": [1]}, r"loss: got \[1\]; expected number or null"),
        ({"losses": {"a": "b"}}, "losses.a: got 'b'; expected number"),
        ({"epochs": 3}, "epochs: got 3; expected group of numbers"),
        ({"status": "running"}, "ends no run"),
        ({"status": "done"}, "unknown"),
        ({"run_id": "0" * 12}, "it is of run 000000000000"),
        ({"colour": 1}, "is not a run record"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(run_dir, values, message):
    change(run_dir, **values)
    with pytest.raises(RecordError, match=message):
        checked_record(run_dir)
