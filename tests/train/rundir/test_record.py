import dataclasses
from pathlib import Path

import pytest

from train.config.run_config import RunConfig
from train.rundir.atomic import RecordError, read_jsonl
from train.rundir.record import (
    RunPaths,
    RunRecord,
    append_status,
    last_status,
    read_record,
    write_job,
    write_record,
)


def record(**changes) -> RunRecord:
    values = {}
    for field in dataclasses.fields(RunRecord):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values[field.name] = "x" if field.type in ("str", str) else 1
    return RunRecord(**{**values, "status": "finished", **changes})


def test_record_survives_the_disk(tmp_path: Path):
    assert read_record(tmp_path) is None
    written = record(loss=1.25, losses={"a": 1.0})
    write_record(tmp_path, written)
    assert read_record(tmp_path) == written


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"run_id": 1}', "null"])
def test_a_damaged_record_is_an_error_not_a_result(content, tmp_path: Path):
    RunPaths(tmp_path).record.write_text(content)
    with pytest.raises(RecordError, match=r"record\.json"):
        read_record(tmp_path)


def test_an_unknown_status_is_refused():
    with pytest.raises(RecordError, match="status='done' is unknown"):
        record(status="done")


def test_status_lines_are_read_from_the_end_and_torn_ones_passed_over(tmp_path: Path):
    assert last_status(tmp_path) is None
    append_status(tmp_path, "running", step=1)
    append_status(tmp_path, "preempted", step=2)
    with RunPaths(tmp_path).status.open("a") as file:
        file.write('{"status": "runn')
    assert last_status(tmp_path)["status"] == "preempted"
    assert len(read_jsonl(RunPaths(tmp_path).status)) == 2


def test_a_directory_takes_one_run_only(tmp_path: Path, tiny_job: RunConfig, longer_job: RunConfig):
    run_dir = tmp_path / "run"
    write_job(run_dir, tiny_job, ["seed=0"])
    write_job(run_dir, tiny_job)
    assert RunPaths(run_dir).overrides.read_text() == "seed=0\n"
    with pytest.raises(RecordError, match="choose another out=DIR"):
        write_job(run_dir, longer_job)


def test_foreign_directories_and_files_are_left_alone(tmp_path: Path, tiny_job: RunConfig):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(RecordError, match="is a file; expected a directory"):
        write_job(file, tiny_job)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(RecordError, match=r"not empty and has no spec\.json"):
        write_job(tmp_path / "photos", tiny_job)
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
