"""Units that a table does not state are asked for; nothing is fitted in the wrong ones."""

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import TableError
from analysis.data.readers import read_file
from analysis.data.reading.understand import TableOptions

N = np.geomspace(57e6, 16e9, 8)
D = 20 * N[::-1]
LOSS = 1.7 + 400 / N**0.34 + 410 / D**0.28
FRAME = pd.DataFrame({"n_params": N, "n_tokens": D, "loss": LOSS})
WITH_FLOPS = FRAME.assign(flops=6 * N * D)


def read(tmp_path, frame, **units):
    frame.to_csv(tmp_path / "runs.csv", index=False)
    return read_file(tmp_path / "runs.csv", TableOptions(units=units))


SUSPECT = {
    "millions and billions": (
        FRAME.assign(n_params=N / 1e6, n_tokens=D / 1e9),
        {"n_params": "millions", "n_tokens": "billions"},
    ),
    "billions and billions": (
        FRAME.assign(n_params=N / 1e9, n_tokens=D / 1e9),
        {"n_params": "billions", "n_tokens": "billions"},
    ),
    "parameters in millions": (FRAME.assign(n_params=N / 1e6), {"n_params": "millions"}),
    "parameters in billions": (FRAME.assign(n_params=N / 1e9), {"n_params": "billions"}),
    "tokens in billions": (FRAME.assign(n_tokens=D / 1e9), {"n_tokens": "billions"}),
    "perplexity": (FRAME.assign(loss=np.exp(LOSS)), {"loss": "perplexity"}),
    "parameters in thousands beside FLOPs": (
        WITH_FLOPS.assign(n_params=N / 1e3),
        {"n_params": "1e3"},
    ),
    "FLOPs in PF-days": (WITH_FLOPS.assign(flops=6 * N * D / 8.64e19), {"flops": "pf-days"}),
    "FLOPs in 1e18": (WITH_FLOPS.assign(flops=6 * N * D / 1e18), {"flops": "1e18"}),
}


@pytest.mark.parametrize("name", SUSPECT)
def test_unlikely_numbers_are_refused_with_the_setting_that_makes_them_right(tmp_path, name):
    frame, units = SUSPECT[name]
    with pytest.raises(TableError) as refused:
        read(tmp_path, frame)
    setting = ", ".join(f"{field}: {unit}" for field, unit in units.items())
    assert f"If so, set 'table.units={{{setting}}}'" in str(refused.value)
    table = read(tmp_path, frame, **units)
    for field in FRAME:
        assert table.numbers(field) == pytest.approx(FRAME[field].to_numpy())


def test_perplexity_of_large_models_is_suspected_by_what_such_models_reach(tmp_path):
    """5 to 12 could be nats of tiny models, not of a billion parameters on 20 billion tokens."""
    big = FRAME.iloc[4:].assign(loss=[6.1, 6.4, 7.0, 7.7])
    with pytest.raises(TableError, match="likely perplexity"):
        read(tmp_path, big)


def test_what_was_said_to_be_right_is_taken(tmp_path):
    frame = FRAME.assign(n_params=N / 1e6)
    table = read(tmp_path, frame, n_params="ones", n_tokens="ones")
    assert table.numbers("n_params") == pytest.approx(N / 1e6)
    assert len(read(tmp_path, FRAME.assign(loss=np.exp(LOSS)), loss="nats")) == 8


@pytest.mark.parametrize(
    ("headers", "scales"),
    [
        (("Model Size (B)", "Tokens (T)", "loss"), (1e9, 1e12, 1)),
        (("params_millions", "tokens_in_billions", "loss"), (1e6, 1e9, 1)),
        (("Params [M]", "Tokens [B]", "Loss (nats)"), (1e6, 1e9, 1)),
        (("N", "D", "loss (bits)"), (1, 1, np.log(2))),
    ],
)
def test_units_that_headers_state_are_applied(tmp_path, headers, scales):
    stated = pd.DataFrame({h: FRAME[f] / s for h, f, s in zip(headers, FRAME, scales, strict=True)})
    table = read(tmp_path, stated)
    for field in FRAME:
        assert table.numbers(field) == pytest.approx(FRAME[field].to_numpy())


def test_a_column_of_perplexity_is_the_loss_of_a_table_without_one(tmp_path):
    table = read(tmp_path, FRAME.drop(columns="loss").assign(ppl=np.exp(LOSS)))
    assert table.numbers("loss") == pytest.approx(LOSS)
    assert "loss from 'ppl' in perplexity" in table.understood[0]
    both = read(tmp_path, FRAME.assign(ppl=np.exp(LOSS)))
    assert both.numbers("loss") == pytest.approx(LOSS)


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ({"n_params": "lots"}, "is no unit"),
        ({"loss": "metres"}, "expected nats, bits, perplexity"),
        ({"layers": "ones"}, "layers has no unit"),
        ({"n_params": "-3"}, "is no unit"),
    ],
)
def test_units_that_are_none(tmp_path, units, said):
    with pytest.raises(TableError, match=said):
        read(tmp_path, FRAME, **units)


def test_small_models_are_not_suspected(tmp_path):
    """Two-layer models of some hundred parameters are trained on millions of tokens."""
    small = pd.DataFrame({
        "n_params": [424, 1616, 6304, 14064], "n_tokens": [5e6] * 4, "loss": [2.3, 1.9, 1.2, 0.4],
        "flops": [6.0 * n * 5e6 for n in (424, 1616, 6304, 14064)],
    })  # fmt: skip
    assert len(read(tmp_path, small)) == 4
