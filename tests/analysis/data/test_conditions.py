import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.data.conditions import rows_where
from analysis.data.loss_table import TableError, select
from analysis.data.readers import from_frame

FRAME = pd.DataFrame({
    "loss": [2.0, 3.0, 4.0, np.nan],
    "n_tokens": [10, 20, 30, 40],
    "data": ["web", "code", None, "web"],
    "Model Size": [1.0, 2.0, 3.0, 4.0],
    "tied": [True, False, True, False],
    "layers": ["2", "4", "8", "x"],
})  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("loss < 4", [0, 1]),
        ("2 < loss <= 4", [1, 2]),
        ("not loss < 4", [2, 3]),
        ("loss < 3 or n_tokens > 35 and data == 'web'", [0, 3]),
        ("(loss < 3 or n_tokens > 35) and data == 'code'", []),
        ("(loss < 3) | (n_tokens > 35)", [0, 3]),
        ("~(loss < 3) & (n_tokens > 15)", [1, 2, 3]),
        ("data in ['code', 'books']", [1]),
        ("data not in ('code',)", [0, 2, 3]),
        ("data != 'web'", [1]),
        ("`Model Size` >= 3", [2, 3]),
        ("n_tokens / loss > 6", [1, 2]),
        ("n_tokens == 10 or n_tokens in [30, 40]", [0, 2, 3]),
        ("tied", [0, 2]),
        ("tied == False", [1, 3]),
        ("layers > 3", [1, 2]),
        ("-loss > -2.5", [0]),
    ],
)
def test_comparisons_are_evaluated_on_columns(condition, rows):
    assert np.flatnonzero(rows_where(FRAME, condition)).tolist() == rows


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("loss<<2", "<< is no comparison; did you mean < or <=?"),
        ("los < 2", "no column 'los'; did you mean 'loss'"),
        ("loss + 1", "is not a condition"),
        ("loss <", "invalid syntax"),
        ("data < 3", "compares text with a number"),
        ("loss == 'a'", "compares text with a number"),
        ("loss < 4 and n_tokens", "n_tokens is no comparison"),
        ("loss in 3", "in needs a list"),
        ("loss is 3", "is no comparison"),
        ("n_tokens ** 9 > 1", "not allowed"),
        ("loss < " + "9" * 400, "too large"),
        ("(" * 900 + "loss < 1" + ")" * 900, "expected comparisons"),
        ("loss < 4 " * 900, "longer than"),
        ("", "expected comparisons"),
        ("loss.max() > 1", "not allowed"),
        ("[r for r in loss] == 1", "not allowed"),
        ("data[0] == 'web'", "not allowed"),
        ("(lambda: 1)() == 1", "not allowed"),
        ("f'{loss}' == 'a'", "not allowed"),
    ],
)
def test_anything_else_is_refused_with_what_was_meant(condition, said):
    with pytest.raises(TableError) as refused:
        rows_where(FRAME, condition)
    assert "fit.where=" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "attack",
    [
        "@pd.io.common.os.system('touch {}')",
        "@pd.io.common.os.system('touch {}') == 0",
        "__import__('os').system('touch {}') == 0",
        "loss.__class__.__base__.__subclasses__() == open('{}', 'w')",
        "(x := open('{}', 'w')) == 1",
    ],
)
def test_a_condition_runs_no_code(tmp_path, attack):
    mark = tmp_path / "was_run"
    runs = FRAME.dropna(subset=["loss"]).assign(n_params=[1e6, 2e6, 3e6])
    with pytest.raises(TableError, match=r"fit\.where="):
        select(from_frame(runs, "memory"), where=[attack.format(mark)])
    assert not mark.exists()


def test_a_filter_that_matches_nothing_says_what_the_column_holds():
    runs = FRAME.drop(columns="data").iloc[:3].assign(n_params=[1e6, 2e6, 3e6])
    with pytest.raises(TableError, match=r"where='loss < 1': of 3 runs, loss is 2 to 4"):
        select(from_frame(runs, "memory"), where=["loss < 1"])


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_our_error(text):
    try:
        assert rows_where(FRAME, text).shape == (len(FRAME),)
    except TableError as error:
        assert "fit.where=" in str(error)


def test_no_source_hands_text_to_an_evaluator():
    """No eval, exec, DataFrame.query or DataFrame.eval("...") in any of our packages."""
    root = Path(__file__).parents[3]
    files = [
        p for top in ("analysis", "eval", "sweeps", "train") for p in (root / top).rglob("*.py")
    ]
    assert len(files) > 100
    found = [f"{p.relative_to(root)}:{line}" for p in files for line in _evaluations(p)]
    assert found == []


def _evaluations(path: Path) -> list[int]:
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    lines = []
    for call in calls:
        name = getattr(call.func, "id", None)
        method = getattr(call.func, "attr", None)
        # model.eval() takes no argument; a frame's eval and query take an expression.
        given_text = method in ("eval", "query") and bool(call.args or call.keywords)
        if name in ("eval", "exec") or given_text:
            lines.append(call.lineno)
    return lines
