from dataclasses import replace

import pytest

from train.config.precision import processor_flags, realised_precision
from train.config.spec import SpecError
from train.run import train_run
from train.rundir.record import read_record, write_job


def test_what_is_asked_for_stays():
    assert realised_precision("fp32", "auto", 1024) == "fp32"
    assert realised_precision("bf16", "cpu", 16, "slurm") == "bf16"


@pytest.mark.parametrize(
    ("flags", "d_model", "expected"),
    [
        ("fpu avx512f", 1024, "fp32"),
        ("fpu avx512_bf16", 1024, "bf16"),
        ("fpu amx_bf16", 192, "bf16"),
        ("fpu amx_bf16", 128, "fp32"),
    ],
)
def test_auto_follows_the_processor_and_the_width(flags, d_model, expected, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"model name\t: x\nflags\t\t: {flags}\n")
    listed = processor_flags(tmp_path / "cpuinfo")
    monkeypatch.setattr("train.config.precision.processor_flags", lambda path: listed)
    assert realised_precision("auto", "cpu", d_model) == expected


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
        losses[precision] = read_record(tmp_path / precision).loss
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=5e-3)
    assert losses["bf16"] != losses["fp32"]
