"""One table in every format that people keep it in: the same runs come out."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import TableError
from analysis.data.readers import read_file
from analysis.data.reading.understand import TableOptions

N = np.array([57.25e6, 125.5e6, 350e6, 1.3e9] * 3)
D = np.repeat([2.5e9, 5e9, 1e10], 4)
LOSS = np.round(1.7 + 400 / N**0.34 + 410 / D**0.28, 3)
FRAME = pd.DataFrame({"n_params": N, "n_tokens": D, "loss": LOSS})


def rows(separator, shown=str, header="n_params{0}n_tokens{0}loss"):
    lines = [
        separator.join([shown(n), shown(d), shown(x)]) for n, d, x in zip(N, D, LOSS, strict=True)
    ]
    return "\n".join([header.format(separator), *lines, ""])


def comma(value):
    return f"{value:.10g}".replace(".", ",")


def grouped(value):
    return f'"{value:,.3f}"' if value < 100 else f'"{value:,.0f}"'


def short(value):
    for scale, unit in ((1e9, "B"), (1e6, "M")):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:.3f}"


JSON = json.loads(FRAME.to_json(orient="records"))
TEXTS = {
    "comma.csv": rows(","),
    "semicolon.csv": rows(";"),
    "semicolon_comma.csv": rows(";", comma),
    "tab.tsv": rows("\t"),
    "tab_comma.txt": rows("\t", comma),
    "blanks.txt": rows("  "),
    "blanks_comma.txt": rows(" ", comma),
    "pipes.csv": rows("|"),
    "thousands.csv": rows(",", grouped),
    "short.csv": rows(",", short),
    "tokens.csv": rows(",", header="N,D,Loss").replace("2500000000.0", "2.5e9 tokens"),
    "savetxt.txt": "# made by a script\n" + rows(" ", header="# n_params n_tokens loss"),
    "sep_line.csv": "sep=;\n" + rows(";", comma),
    "aliases.csv": rows(",", header="Parameter Count{0}Total Tokens{0}Final Loss"),
    "capitals.csv": rows(",", header="Params{0}TOKENS{0}Val Loss"),
    "paths.csv": rows(",", header="config/n_params{0}config/tokens{0}eval/loss"),
    "r_names.csv": "n_params,n_tokens,loss\n"
    + "".join(f"{i + 1},{line}\n" for i, line in enumerate(rows(",").splitlines()[1:])),
    "records.json": json.dumps(JSON, indent=1),
    "wrapped.json": json.dumps({"note": "mine", "runs": JSON}),
    "columns.json": json.dumps(FRAME.to_dict("list")),
    "pandas.json": FRAME.to_json(),
    "index.json": FRAME.rename(index=lambda i: f"run{i}").to_json(orient="index"),
    "split.json": FRAME.to_json(orient="split"),
    "nested.json": json.dumps([{"config": {"n_params": r["n_params"]}, "n_tokens": r["n_tokens"],
                                "summary": {"eval": {"loss": r["loss"]}}} for r in JSON]),
    "lines.jsonl": FRAME.to_json(orient="records", lines=True),
}  # fmt: skip


def check(table):
    assert len(table) == 12
    assert table.excluded == ()
    assert table.numbers("n_params") == pytest.approx(N, rel=1e-12)
    assert table.numbers("n_tokens") == pytest.approx(D, rel=1e-12)
    assert table.numbers("loss") == pytest.approx(LOSS, rel=1e-12)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_table(tmp_path, name):
    (tmp_path / name).write_text(TEXTS[name])
    check(read_file(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_and_byte_order_marks(tmp_path, encoding):
    text = rows(";", comma, header="n_params;n_tokens;loss;größe").replace("\n", ";x\n")
    path = tmp_path / "runs.csv"
    path.write_bytes(text.replace("größe;x", "größe").encode(encoding))
    table = read_file(path)
    check(table)
    assert "größe" in table.runs


@pytest.mark.parametrize("name", ["comma.csv", "semicolon_comma.csv", "lines.jsonl"])
def test_compressed_files(tmp_path, name):
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(TEXTS[name].encode()))
    check(read_file(path))


def test_parquet_under_any_name_and_compressed(tmp_path):
    FRAME.to_parquet(tmp_path / "runs")
    check(read_file(tmp_path / "runs"))
    packed = tmp_path / "runs.gz"
    packed.write_bytes(gzip.compress((tmp_path / "runs").read_bytes()))
    check(read_file(packed))


def test_excel(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "runs.xlsx"
    with pd.ExcelWriter(path) as book:
        FRAME.to_excel(book, index=False, sheet_name="runs")
        pd.DataFrame().to_excel(book, index=False, sheet_name="empty")
    check(read_file(path))
    with pd.ExcelWriter(path) as book:
        FRAME.to_excel(book, index=False, startrow=3, startcol=2)
        book.book.active["A1"] = "Our runs"
    check(read_file(path))
    with pd.ExcelWriter(path) as book:
        for sheet in ("one", "two"):
            FRAME.to_excel(book, index=False, sheet_name=sheet)
    with pytest.raises(TableError, match=r"2 sheets with a table \(one, two\)"):
        read_file(path)


def test_a_wide_table_has_one_column_a_size(tmp_path):
    wide = FRAME.pivot(index="n_tokens", columns="n_params", values="loss")
    wide.columns = ["57.25M", "125.5M", "350M", "1.3B"]
    wide.iloc[0, 1] = np.nan
    wide.to_csv(tmp_path / "wide.csv")
    table = read_file(tmp_path / "wide.csv")
    assert len(table) == 11
    want = FRAME.drop(index=1).sort_values(["n_params", "n_tokens"])
    for name in FRAME:
        assert table.numbers(name) == pytest.approx(want[name].to_numpy())
    assert any("1 of their 12 cells are empty" in line for line in table.understood)


def test_a_wide_table_has_one_column_a_budget(tmp_path):
    lines = ["Model Size,loss 1e18,loss 1e19,loss 1e20", "100M,4.1,3.4,3.0", "1B,4.9,3.5,2.8"]
    (tmp_path / "wide.csv").write_text("\n".join(lines))
    table = read_file(tmp_path / "wide.csv")
    assert sorted(set(table.numbers("flops"))) == [1e18, 1e19, 1e20]
    assert table.numbers("n_tokens")[0] == pytest.approx(1e18 / 6e8)


def test_what_was_understood_is_one_line(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(rows(",", short, header="Model Size{0}Tokens{0}Val Loss"))
    (line,) = read_file(path).understood
    assert line.startswith("read 12 runs: n_params from 'Model Size' (57.2M to 1.3B), n_tokens")
    assert "flops = 6 n_params n_tokens" in line
    assert "loss from 'Val Loss' (2.67 to 3.58)" in line


def test_of_two_columns_for_one_field_the_choice_is_said(tmp_path):
    path = tmp_path / "runs.csv"
    FRAME.assign(**{"smooth loss": LOSS + 0.1, "val_loss": LOSS + 0.2}).to_csv(path, index=False)
    table = read_file(path)
    assert "loss was taken from 'smooth loss'; 'loss' and 'val_loss' could be it too" in str(
        table.understood
    )
    assert table.numbers("loss") == pytest.approx(LOSS + 0.1)
    other = read_file(path, TableOptions({"loss": "val_loss"}))
    assert other.numbers("loss") == pytest.approx(LOSS + 0.2)


def test_the_files_own_columns_stay_for_conditions(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(rows(",", header="Params{0}Tokens{0}Val Loss"))
    assert {"Params", "Tokens", "Val Loss", "n_params", "loss"} <= set(read_file(path).runs)


def test_a_ratio_of_two_fields_is_neither(tmp_path):
    FRAME.assign(**{"D/N": D / N}).to_csv(tmp_path / "runs.csv", index=False)
    assert len(read_file(tmp_path / "runs.csv").understood) == 1


def test_a_cell_that_is_no_number_is_quoted(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(rows(",").replace(f",{LOSS[2]}\n", ",1.2x3\n").replace(f",{LOSS[5]}\n", ",\n"))
    table = read_file(path)
    assert [(row.run_id, row.reason) for row in table.excluded] == [
        ("row 3", "loss='1.2x3' is no number"),
        ("row 6", "loss=nan is not positive and finite"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no rows"),
        (b"hello world, this is\na letter of two lines\n", "no column n_params, n_tokens, loss"),
        (b"1,2,3\n4,5,6\n", "has no header"),
        (b"n_params\n5\n", "has one column"),
        (b"a,b,c\n1,2,3\n4,5,6,7\n", "row 3 has 4 values where the header has 3"),
        (b"\x00\x01\x02\x03" * 50, "no text"),
        (b"PAR1 not really", "can't be read as parquet"),
        (b"PK\x03\x04 not really", "xlsx"),
        (b"\x1f\x8b not really", "can't be unpacked"),
        (b"\x80\x04\x95pickle", "a pickle, which may run code"),
        (b"\xd0\xcf\x11\xe0old", "old Excel file"),
        (b'{"a": [1, 2], "b": [1]}', "can't be read as JSON"),
        (b"[" * 100000, "can't be read as JSON"),
        (b"[1, 2]", "can't be read as JSON"),
        (b"n_params;n_tokens;loss\n1e6;1e9;3,25\n1e7;1e9;3.25\n", "has both '3.25' and '3,25'"),
        (b"n_params\tn_tokens\tloss\n1000000\t1e9\t3,250\n", "may be decimals or thousands"),
    ],
)
def test_what_is_refused_says_why(tmp_path, content, said):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TableError) as refused:
        read_file(tmp_path / "file")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_refused_file_shows_five_of_its_columns(tmp_path):
    path = tmp_path / "many.csv"
    names = [f"column_{i}_{'x' * 60}" for i in range(300)]
    path.write_text(",".join(names) + "\n" + ",".join("1" * 300) + "\n")
    with pytest.raises(TableError, match=r"\.\.\. \(300 columns\)") as refused:
        read_file(path)
    assert str(refused.value).count("column_") == 5


def test_the_decimal_mark_can_be_set(tmp_path):
    path = tmp_path / "runs.tsv"
    path.write_text(rows("\t", lambda v: f"{v:.3f}".replace(".", ",") if v < 100 else f"{v:.0f}"))
    with pytest.raises(TableError, match=r"set table\.decimal"):
        read_file(path)
    check(read_file(path, TableOptions(decimal=",")))
    with pytest.raises(TableError, match="no decimal mark"):
        read_file(path, TableOptions(decimal="x"))
