"""Any damage to any table file gives a table or our own error, never a traceback of another kind.

Bytes are flipped, files cut, lines swapped, headers changed; each mutation has a seed of its own.
"""

import contextlib
import gzip
import io
import json
import os
import warnings

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import select
from analysis.data.readers import read_file
from analysis.emergence.tables.curves import study_curves
from analysis.emergence.tables.read import is_score_table, read_scores
from train.config.spec import IsoflopError

N = np.array([57e6, 125e6, 350e6, 1.3e9] * 3)
D = np.repeat([2.5e9, 5e9, 1e10], 4)
FRAME = pd.DataFrame({
    "run_id": [f"r{i % 6}" for i in range(12)], "n_params": N, "n_tokens": D,
    "flops": 6 * N * D, "lr": [1e-3, 3e-4, 1e-4] * 4, "epochs": [1.0, 9.0] * 6,
    "State": ["Finished"] * 11 + ["crashed"], "loss": np.linspace(4, 2, 12),
})  # fmt: skip
SCORES = pd.DataFrame({
    "model": ["a", "b", "c"], "scale": ["1B", "2B", "7B"], "task": ["t"] * 3, "metric": ["acc"] * 3,
    "value": [0.1, 0.2, 0.9],
})  # fmt: skip


def packed(write, **options):
    buffer = io.BytesIO()
    write(buffer, **options)
    return buffer.getvalue()


def excel(frame):
    return packed(frame.to_excel, index=False)


FILES = {
    "csv": FRAME.to_csv(index=False).encode(),
    "csv; ,": FRAME.to_csv(index=False, sep=";", decimal=",").encode(),
    "utf-16": FRAME.to_csv(index=False, sep="\t").encode("utf-16"),
    "wide": FRAME.pivot_table(index="n_tokens", columns="n_params", values="loss")
    .to_csv()
    .encode(),
    "scores": SCORES.to_csv(index=False).encode(),
    "json": FRAME.to_json(orient="records").encode(),
    "columns": json.dumps(FRAME.to_dict("list")).encode(),
    "jsonl": FRAME.to_json(orient="records", lines=True).encode(),
    "gz": gzip.compress(FRAME.to_csv(index=False).encode()),
    "parquet": packed(FRAME.to_parquet),
}
with contextlib.suppress(ImportError):  # openpyxl is an optional extra
    FILES["xlsx"] = excel(FRAME)

N_MUTATIONS = int(os.environ.get("ISOFLOP_FUZZ", "50"))

WORDS = (
    b"", b"n_params", b"loss", b"N", b"nan", b"1e999", b"-1", b"0", b",,,,", b'"', b"\n\n", b"\xff",
    b"1,5", b"1.300,5", b"7B", b"[", b"{", b"null", b"9" * 400, b"\x00", b"run_id", b"step",
    b"perplexity", b"True", b"2026-01-01",
)  # fmt: skip


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        kind, at = int(rng.integers(6)), int(rng.integers(len(data) + 1)) if data else 0
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 40))]
        elif kind == 2:
            data[at:at] = WORDS[int(rng.integers(len(WORDS)))]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            end = data.find(b"\n") if b"\n" in data else 20
            start = int(rng.integers(max(1, end)))
            data[start : start + int(rng.integers(1, 8))] = WORDS[int(rng.integers(len(WORDS)))]
        else:
            lines = bytes(data).split(b"\n")
            rng.shuffle(lines)
            data = bytearray(b"\n".join(lines))
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_damage_gives_a_table_or_our_error(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    (read_scores if name == "scores" else read_file)(path)
    outcomes = set()
    for seed in range(N_MUTATIONS):
        path.write_bytes(mutated(FILES[name], np.random.default_rng(seed)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if is_score_table(path):
                    study_curves(read_scores(path))
                else:
                    table = select(read_file(path), max_epochs=4)
                    table.training_curves(table.counted())
                outcomes.add("read")
            except IsoflopError as error:
                assert "\n" not in str(error), seed
                assert len(str(error)) < 700, seed
                outcomes.add("refused")
        assert [w for w in caught if w.category is RuntimeWarning] == [], seed
    assert "refused" in outcomes
