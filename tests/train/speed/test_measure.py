"""The measurement itself, on shapes that take no time, and what a person reads of it."""

import io
import json
from dataclasses import asdict, replace

import pytest
import torch

from train.config.decode import decode_stored
from train.config.kernels import LIBRARY, Kernels
from train.speed import explain, measure
from train.speed.table import SpeedTable


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "PRODUCTS": ((8, 16), (64, 16)),
        "CONTEXTS": (16, 64),
        "HEAD_DIMS": (4,),
        "TOKENS": 64,
        "WIDTHS": {16: 1},
        "SEQ_LEN": 16,
        "VOCABULARY": 17,
        "ROUNDS": 1,
        "SECONDS": dict.fromkeys(measure.SECONDS, 0.0),
    }.items():
        monkeypatch.setattr(measure, name, value)


def test_everything_is_timed_and_survives_its_file(small):
    table = measure.measured()
    assert [p.multiplications for p in table.products] == [8 * 16 * 16, 64 * 16 * 16]
    assert [a.seq_len for a in table.attention] == [16, 64]
    assert [s.d_model for s in table.steps] == [16]
    times = [p.onednn_weights for p in table.products] + [a.blocks for a in table.attention]
    assert all(seconds > 0 for seconds in times)
    assert decode_stored(SpeedTable, json.loads(json.dumps(asdict(table))), "t") == table


def test_a_step_is_timed_with_kernels_that_act_in_it(small, monkeypatch):
    for kernels, acts in (
        (LIBRARY, False),
        (Kernels(blocks_from=16), True),
        (Kernels(blocks_from=17), False),
        (Kernels(16 * 16 * 40), True),  # d_ff is 40, the vocabulary 17
        (Kernels(16 * 16 * 40 + 1), False),
    ):
        assert measure._acts(kernels, measure._shape(16)) is acts, kernels
        monkeypatch.setattr(measure, "candidate_kernels", lambda *_, chosen=kernels: chosen)
        assert (measure._step_time(16, (), ()).kernels is not None) is acts


def test_where_nothing_compiles_that_is_what_is_known(small, monkeypatch):
    def no_compiler(module):
        def call(*_, **__):
            raise RuntimeError("no C++ compiler")

        module.forward = call
        return module

    monkeypatch.setattr(measure, "compiled", no_compiler)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "restored afterwards")
    table = measure.with_compiled(measure.measured(), 16, "fp32")
    assert (table.compiled[0].compiled, table.compiled[0].d_model) == (None, 16)
    monkeypatch.setattr(measure, "compiled", lambda module: module)
    table = measure.with_compiled(table, 16, "bf16")
    assert table.compiled[1].compiled is not None
    assert table.compiled[1].precision == "bf16"


def test_the_child_prints_a_table(small, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"compiled": null, "table": null}'))
    threads = torch.get_num_threads()
    assert measure.main(["1"]) == 0
    torch.set_num_threads(threads)
    printed = json.loads(capsys.readouterr().out)
    assert decode_stored(SpeedTable, printed, "t").steps


def test_the_choices_can_be_read(tiny_job, monkeypatch):
    from tests.support.speed_tables import SLOW_MKL

    assert "nothing is measured" in explain.explanation(tiny_job)
    monkeypatch.setattr(explain, "is_pinned", lambda: False)
    monkeypatch.setattr(explain, "measured_table", lambda threads: None)
    assert "could not be measured" in explain.explanation(tiny_job)
    monkeypatch.setattr(explain, "measured_table", lambda threads: SLOW_MKL)
    monkeypatch.setattr("train.speed.choice.known_table", lambda threads: SLOW_MKL)
    wide = replace(tiny_job, spec=replace(tiny_job.spec, model=replace(
        tiny_job.spec.model, d_model=256, n_heads=4)))  # fmt: skip
    text = explain.explanation(wide)
    assert "tiny: 2 layers of width 256, context 32, fp32: oneDNN from 3.4e+07" in text
    row = next(line for line in text.splitlines() if line.startswith("256    kernels 1.60"))
    assert "precision=auto is bf16, with library" in row
    assert "no compiler" in text
