"""Tables of scores in the forms that people keep them in: what is read from which column."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.data.table_error import TableError
from analysis.emergence.tables.finish import family_of
from analysis.emergence.tables.read import (
    ScoreOptions,
    is_score_table,
    read_scores,
    scores_from_frame,
)
from analysis.emergence.tables.score_rows import ScoreRows, ScoreTableError
from analysis.emergence.tables.wide import WideColumn, parsed
from tests.support.published import published_file


def read(frame: pd.DataFrame, **options: Any) -> ScoreRows:
    return scores_from_frame(frame, "x.csv", ScoreOptions(**options))


def long(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({
        "model": ["a", "b", "c"], "task": "t", "metric": "acc", "value": [0.1, 0.2, 0.9],
    } | columns)  # fmt: skip


def test_columns_have_a_meaning_whatever_their_capitals_and_units() -> None:
    table = read(long(**{
        "Model Family": "F", "n-shot": 5, "Seed": 1, "Target Length": 3, "N Items": 100,
        "random": 0.25, "stderr": 0.01, "Model Size (B)": [1, 2, 7], "FLOPs (1E21)": [6, 12, 42],
    }))  # fmt: skip
    first = table.rows.iloc[0]
    assert first[["family", "n_shots", "seed", "target_length", "n_items", "chance"]].tolist() == [
        "F", 5, 1, 3, 100, 0.25,
    ]  # fmt: skip
    assert table.rows["n_params"].tolist() == [1e9, 2e9, 7e9]
    assert table.rows["flops"].tolist() == [6e21, 1.2e22, 4.2e22]
    assert first["ci_high"] == pytest.approx(0.1 + 1.96 * 0.01, abs=1e-5)


@pytest.mark.parametrize(
    ("header", "label"),
    [
        ("scale", "scale"),
        ("Training FLOPs", "training FLOPs C"),
        ("Parameters", "parameters N"),
        ("tokens seen", "training tokens D"),
        ("width", "width"),
    ],
)
def test_the_axis_is_called_what_it_is(header: str, label: str) -> None:
    columns = {} if header == "scale" else {"scale": header}
    assert read(long(**{header: [1.0, 2.0, 4.0]}), columns=columns).axis.label == label


def test_one_size_trained_to_several_lengths_is_drawn_over_flops() -> None:
    flops = [6e20, 1.2e21, 2.4e21]
    assert read(long(params=[1e9, 1e9, 2e9], flops=flops)).axis.column == "flops"
    assert read(long(params=[1e9, 2e9, 4e9], flops=flops)).axis.column == "n_params"


def test_filters_filter_by_our_names_and_by_theirs() -> None:
    frame = long(scale=[1, 2, 3], shots=[0, 2, 2], prompt_style=["a", "b", "a"])
    assert len(read(frame, filters={"n_shots": 2}).rows) == 2
    table = read(frame, filters={"prompt_style": ["a"], "n_shots": [0, 2]})
    assert (len(table.rows), table.excluded["left out by table.filters"]) == (2, 1)
    with pytest.raises(ScoreTableError, match=r"no row of x.csv has n_shots=7; it has 0, 2"):
        read(frame, filters={"n_shots": 7})
    with pytest.raises(ScoreTableError, match="no column 'shot'"):
        read(frame, filters={"shot": 1})


def test_what_is_left_out_is_counted_with_its_reason() -> None:
    frame = pd.concat([long(scale=[1, 2, 3]), long(scale=[1, None, 0], value=["n/a", 1, 1])])
    table = read(pd.concat([frame, frame.iloc[:1]], ignore_index=True))
    assert len(table.rows) == 3
    assert table.excluded == {
        "no positive scale": 2,
        "no numeric value": 1,
        "the same row again": 1,
    }


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("ipa_transliterate_2_exact_match", WideColumn("ipa_transliterate", "exact_match", 2)),
        ("arithmetic_3ds_2_acc", WideColumn("arithmetic_3ds", "acc", 2)),
        ("hellaswag/acc_norm", WideColumn("hellaswag", "acc_norm", None)),
        ("MMLU (5-shot)", WideColumn("MMLU", "score", 5)),
        ("ARC-C", WideColumn("ARC-C", "score", None)),
        ("GSM8K exact match", WideColumn("GSM8K", "exact_match", None)),
    ],
)
def test_headers_of_wide_tables(header: str, expected: WideColumn) -> None:
    assert parsed(header) == expected


def test_a_wide_table_with_a_table_of_its_models(tmp_path: Path) -> None:
    scores = pd.DataFrame({"Model": ["a", "b", "c"], "sums_2_acc": [0.1, None, 0.3]})
    models = pd.DataFrame({"Model": ["c", "a", "b"], "Model Family": "F",
                           "Params": ["7B", 1e9, 3e9], "MMLU": [0.1, 0.2, 0.3]})  # fmt: skip
    scores.to_csv(tmp_path / "scores.csv", index=False)
    models.to_csv(tmp_path / "models.csv", index=False)
    options = ScoreOptions(models=str(tmp_path / "models.csv"))
    assert is_score_table(tmp_path / "scores.csv", options)
    table = read_scores(tmp_path / "scores.csv", options)
    assert table.rows[["model", "family", "n_params", "value"]].values.tolist() == [
        ["a", "F", 1e9, 0.1], ["c", "F", 7e9, 0.3],
    ]  # fmt: skip
    assert set(table.rows["task"]) == {"sums"}
    assert "1 of 3 cells are empty" in table.notes[1]
    pd.concat([models, models]).to_csv(tmp_path / "models.csv", index=False)
    with pytest.raises(ScoreTableError, match="has model 'c' more than once"):
        read_scores(tmp_path / "scores.csv", options)


LM_EVAL = {
    "results": {
        "piqa": {"alias": "piqa", "acc,none": 0.6, "acc_stderr,none": 0.01, "acc_norm,none": 0.62,
                 "acc_norm_stderr,none": "N/A"},
        "gsm8k": {"exact_match,strict-match": 0.02, "exact_match_stderr,strict-match": 0.004},
    },
    "configs": {"piqa": {"doc_to_choice": ["sol1", "sol2"], "num_fewshot": 0}, "gsm8k": {}},
    "n-shot": {"piqa": 0, "gsm8k": 5},
    "n-samples": {"piqa": {"original": 1838, "effective": 1838}},
    "config": {"model": "hf", "model_args": "pretrained=EleutherAI/pythia-70m,dtype=float32",
               "model_num_parameters": 70426624},
}  # fmt: skip

BIG_BENCH = {
    "model": {"model_family": "BIG-G T=0", "model_name": "128m", "total_params": 134000000,
              "non_embedding_params": 1},
    "task": {"task_name": "arithmetic"},
    "scores": [{
        "score_dict": {"exact_str_match": 0.1, "bleu": 3.0}, "preferred_score": "exact_str_match",
        "number_of_shots": 2, "low_score": 0.0, "high_score": 1.0,
        "subtask_description": "arithmetic:2_digit_addition",
    }],
}  # fmt: skip


def test_result_files_of_both_harnesses_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "results_2026.json").write_text(json.dumps(LM_EVAL))
    (tmp_path / "scores_BIG-G.json").write_text(json.dumps(BIG_BENCH))
    (tmp_path / "notes.json").write_text("{}")
    assert is_score_table(tmp_path)
    table = read_scores(tmp_path)
    rows = table.rows.set_index(["task", "metric"]).drop(columns=["split"])
    piqa = rows.loc[("piqa", "acc")]
    assert piqa[["model", "n_params", "n_shots", "n_items", "chance"]].tolist() == [
        "EleutherAI/pythia-70m", 70426624, 0, 1838, 0.5,
    ]  # fmt: skip
    assert piqa["ci_low"] == pytest.approx(0.6 - 1.96 * 0.01, abs=1e-5)
    assert np.isnan(rows.loc[("piqa", "acc_norm"), "ci_low"])
    assert rows.loc[("gsm8k", "exact_match (strict-match)"), "n_shots"] == 5
    big = rows.loc[("arithmetic:2_digit_addition", "exact_str_match")]
    assert big[["model", "family", "n_params", "n_shots", "chance"]].tolist() == [
        "128m", "BIG-G T=0", 134000000, 2, 0,
    ]  # fmt: skip
    assert np.isnan(rows.loc[("arithmetic:2_digit_addition", "bleu"), "chance"])
    assert "1 other files" in table.notes[0]
    assert "notes.json" in table.notes[0]


OUTPUTS = [
    {"model": "a", "size": 1e6, "task": "sum", "prompt": "1+1=", "target": "2", "output": " 2"},
    {"model": "a", "size": 1e6, "task": "sum", "prompt": "9+9=", "target": "18", "output": "81"},
]


def test_outputs_of_others_are_scored_by_every_metric(tmp_path: Path) -> None:
    rows = [
        {**OUTPUTS[0], "output_logprob": np.log(0.5), "choices": ["2", "3"],
         "choice_logprobs": [np.log(0.6), np.log(0.2)]},
        {**OUTPUTS[1], "output_logprob": np.log(0.5), "choices": ["17", "18", "81"],
         "choice_logprobs": [-1.0, -1.0, -9e9]},
    ]  # fmt: skip
    path = tmp_path / "outputs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert is_score_table(path)
    table = read_scores(path)
    whole = table.rows[table.rows["target_length"].isna()].set_index("metric")["value"]
    assert whole.to_dict() == pytest.approx({
        "exact_match": 0.5,
        "character_edit_distance": 1.0,
        "character_edit_distance_normalized": 0.5,
        "multiple_choice_grade": 0.75,
        "brier_mean": (2 * 0.25**2 / 2 + 2 * 0.5**2 / 3) / 2,
        "brier_sum": (2 * 0.25**2 + 2 * 0.5**2) / 2,
        "confidence_brier": 0.25,
    })  # fmt: skip
    by_length = table.rows[table.rows["metric"] == "exact_match"].set_index("target_length")
    assert by_length["value"][[1.0, 2.0]].tolist() == [1, 0]
    grade = table.rows[table.rows["metric"] == "multiple_choice_grade"].iloc[0]
    assert grade["chance"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_outputs_of_a_csv_and_choices_that_do_not_fit() -> None:
    table = read(pd.DataFrame(OUTPUTS))
    assert set(table.rows["metric"]) == {
        "exact_match", "character_edit_distance", "character_edit_distance_normalized",
    }  # fmt: skip
    bad = pd.DataFrame(OUTPUTS).assign(choices='["2", "3"]', choice_logprobs="[-1]")
    with pytest.raises(ScoreTableError, match="2 choices and 1 choice_logprobs"):
        read(bad)
    other = pd.DataFrame(OUTPUTS).assign(choices='["7", "3"]', choice_logprobs="[-1, -2]")
    with pytest.raises(ScoreTableError, match="target '2' is none of the choices"):
        read(other)


def test_families_are_read_off_names_where_no_column_has_them() -> None:
    assert family_of("LaMDA 137B") == family_of("lamda-2.1b") == "lamda"
    assert family_of("EleutherAI/pythia-1.4b-deduped") == "eleutherai-pythia-deduped"
    names = [f"GPT-3 {n}B" for n in (1, 7, 13)] + [f"LaMDA {n}B" for n in (2, 8, 137)]
    frame = pd.DataFrame({"model": names, "size": [1, 7, 13, 2, 8, 137], "task": "t",
                          "metric": "acc", "value": 0.5})  # fmt: skip
    table = read(frame)
    assert table.rows["family"].tolist() == ["gpt-3"] * 3 + ["lamda"] * 3
    assert "gpt-3 (3), lamda (3)" in table.notes[0]
    assert set(read(frame, columns={"family": ""}).rows["family"]) == {""}
    unnamed = read(frame.assign(model=[f"model {c}" for c in "abcdef"]))
    assert set(unnamed.rows["family"]) == {""}
    assert "all 6 were taken as one" in unnamed.notes[0], "two families as one curve, in silence"
    alike = read(frame.assign(model=[f"pythia-{n}m" for n in range(70, 76)]))
    assert not any("taken as one" in note for note in alike.notes)


def test_scores_are_read_by_the_one_reader_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = ["Model;Scale;Task;Metric;Value", "a;1,3B;t;acc;0,25", "b;7B;t;acc;0,5"]
    path.write_bytes("\n".join(rows).encode("utf-16"))
    assert is_score_table(path)
    scores = read_scores(path).rows
    assert scores["scale"].tolist() == [1.3e9, 7e9]
    assert scores["value"].tolist() == [0.25, 0.5]


def test_scores_that_can_t_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScoreTableError, match="no column says how large the models are"):
        read(long())
    with pytest.raises(ScoreTableError, match="no column task; it has model"):
        read(pd.DataFrame({"model": ["a"], "metric": ["b"], "value": ["c"]}))
    with pytest.raises(ScoreTableError, match="no column 'Size', asked for as scale"):
        read(long(), columns={"scale": "Size"})
    with pytest.raises(ScoreTableError, match=r"table.columns: shot is no column of scores"):
        read(long(shot=1, scale=1), columns={"shot": "shot"})
    with pytest.raises(TableError, match="is not a file"):
        read_scores(tmp_path / "none.csv")
    with pytest.raises(ScoreTableError, match="no row with a positive scale"):
        read(long(scale=1).assign(value="n/a"))
    assert not is_score_table(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["olmo_ladder_final.csv", "hoffmann2022_figure4.csv"])
def test_tables_of_runs_are_none_of_scores(name: str) -> None:
    assert not is_score_table(published_file(name))
