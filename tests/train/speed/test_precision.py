from dataclasses import replace

import pytest

from tests.support.speed_tables import SLOW_MKL
from train.config.spec import SpecError
from train.run import train_run
from train.rundir.record import read_record, write_job
from train.speed.precision import processor_flags, realised_precision


def test_what_is_asked_for_stays():
    assert realised_precision("fp32", "auto", 1024) == "fp32"
    assert realised_precision("bf16", "cpu", 16, "slurm") == "bf16"


@pytest.mark.parametrize(
    ("flags", "d_model", "expected"),
    [
        ("fpu avx512f", 1024, "fp32"),
        ("fpu avx512_bf16", 1024, "bf16"),
        ("fpu amx_bf16", 256, "bf16"),
        ("fpu amx_bf16", 64, "fp32"),
        ("fpu amx_bf16", 100, "fp32"),  # of its two measured neighbours one gained
    ],
)
def test_auto_follows_the_processor_and_what_was_measured(
    flags, d_model, expected, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(f"model name\t: x\nflags\t\t: {flags}\n")
    listed = processor_flags(tmp_path / "cpuinfo")
    monkeypatch.setattr("train.speed.precision.processor_flags", lambda path: listed)
    monkeypatch.setattr("train.speed.precision.measured_table", lambda threads: SLOW_MKL)
    assert realised_precision("auto", "cpu", d_model) == expected


def test_without_a_measurement_auto_is_float32(monkeypatch):
    monkeypatch.setattr("train.speed.precision.processor_flags", lambda path: {"amx_bf16"})
    assert realised_precision("auto", "cpu", 1024) == "fp32"  # ISOFLOP_SPEED=library in all tests


def test_a_system_without_cpuinfo_computes_in_float32(tmp_path, monkeypatch):
    assert processor_flags(tmp_path / "none") == set()


def test_auto_is_refused_for_nodes_that_are_not_here():
    with pytest.raises(SpecError, match="use precision=bf16 or precision=fp32"):
        realised_precision("auto", "auto", 64, "slurm")


def test_a_run_in_bfloat16_learns_what_one_in_float32_does(tmp_path, tiny_job):
    losses = {}
    for precision in ("fp32", "bf16"):
        spec = replace(tiny_job.spec, precision=precision)
        write_job(tmp_path / precision, replace(tiny_job, spec=spec))
        assert train_run(tmp_path / precision) == "finished"
        record = read_record(tmp_path / precision)
        assert record is not None
        losses[precision] = record.loss
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=5e-3)
    assert losses["bf16"] != losses["fp32"]
