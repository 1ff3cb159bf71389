"""Rows of scores as curves: what is kept apart, what is averaged, and what stands out of noise."""

import numpy as np
import pandas as pd
import pytest

from analysis.emergence.tables.curves import CurveStudy, concentration, study_curves
from analysis.emergence.tables.read import ScoreOptions, read_scores, scores_from_frame
from tests.support.published import published_file

SIZES = np.geomspace(1e8, 1e11, 8)


def studied(frame: pd.DataFrame, **options) -> CurveStudy:
    return study_curves(scores_from_frame(frame, "x.csv", ScoreOptions(**options)))


def curve(values, **columns) -> pd.DataFrame:
    n = len(values)
    return pd.DataFrame({
        "model": [f"m{i}" for i in range(n)], "params": SIZES[:n], "task": "sums", "metric": "acc",
        "value": values,
    } | columns)  # fmt: skip


SHARP = np.r_[np.linspace(0, 0.02, 6), 0.5, 0.9]
RAMP = np.linspace(0.1, 0.8, 8)


@pytest.mark.parametrize("column", ["family", "n_shots", "target_length", "split"])
def test_what_a_column_tells_apart_is_scored_apart(column: str) -> None:
    values = {"family": ("A", "B"), "split": ("A", "B")}.get(column, (1, 2))
    both = pd.concat([curve(SHARP, **{column: values[0]}), curve(RAMP, **{column: values[1]})])
    scores = [one.score for one in studied(both).scores]
    assert scores == pytest.approx([0.9 / 0.004, 7])


def test_rows_of_one_point_are_averaged_over_seeds_alone() -> None:
    rows = [curve(RAMP + d, seed=s) for s, d in ((1, 0.0), (2, 0.02))]
    seeded = pd.concat(rows)
    (one,) = studied(seeded).scores
    assert (one.score, one.curve.n_seeds) == (pytest.approx(7), 2)
    assert one.curve.y == pytest.approx(RAMP + 0.01)
    unseeded = seeded.drop(columns="seed").assign(temperature=[0.0] * 8 + [1.0] * 8)
    found = studied(unseeded)
    assert found.scores == ()
    ((name, reason),) = found.excluded
    assert name == "sums, acc"
    assert "2 rows of m0 are one point and are not averaged" in reason
    assert "column 'temperature' does" in reason
    assert len(studied(unseeded, columns={"seed": "temperature"}).scores) == 1


def test_two_models_of_one_size_are_not_averaged() -> None:
    both = pd.concat([curve(RAMP), curve(RAMP).assign(model="other")])
    ((_, reason),) = studied(both).excluded
    assert "models m0 and other share one scale (parameters N)" in reason


def test_few_scales_are_excluded_with_their_number() -> None:
    found = studied(pd.concat([curve(RAMP), curve(RAMP[:2], task="rare")]))
    assert len(found.scores) == 1
    assert found.excluded == (("rare, acc", "measured at 2 scales; a shape needs 3"),)
    assert [one.task for one in found.short] == ["rare"]


def test_one_right_answer_of_the_last_model_is_no_discovery() -> None:
    lone = np.r_[np.zeros(7), 0.001]
    (one,) = studied(curve(lone)).scores
    assert one.score == np.inf
    assert one.chance.p_value < 1e-4
    assert one.p_value == one.permutation.p_value > 0.5
    assert one.q_value > 0.5


def test_false_discoveries_are_held_and_metrics_ranked() -> None:
    rng = np.random.default_rng(0)
    noise = [
        curve(0.5 + 0.1 * rng.normal(size=8), task=f"t{i}", metric="noise") for i in range(200)
    ]
    sharp = [curve(SHARP, task=f"t{i}", metric="sharp") for i in range(3)]
    table = concentration(studied(pd.concat(noise + sharp)).scores)
    assert table["metric"].tolist() == ["sharp", "noise"]
    assert table["clear"].tolist() == [3, 0]
    assert 2 <= table["above"][1] <= 20
    assert table["share"].tolist() == [1, 0]


def test_ipa_transliteration_by_exact_match_and_by_bleu_per_family() -> None:
    models = str(published_file("obsscaling_benchmarks.csv"))
    options = ScoreOptions(models=models, filters={"task": "ipa_transliterate"})
    table = read_scores(published_file("obsscaling_emergent_capability.csv"), options)
    assert (table.rows["model"].nunique(), table.rows["family"].nunique()) == (72, 22)
    assert table.axis.label == "parameters N"
    assert set(table.rows["n_shots"]) == {2}
    found = study_curves(table)
    by_metric = {
        metric: {s.curve.family: s for s in found.scores if s.curve.metric == metric}
        for metric in ("exact_match", "bleu")
    }
    assert len(by_metric["exact_match"]) == 12
    assert len(by_metric["bleu"]) == 11
    assert by_metric["exact_match"]["Pythia"].score == 0
    assert by_metric["bleu"]["Pythia"].score == pytest.approx(12.79, abs=0.01)
    assert by_metric["bleu"]["OPT"].q_value < 0.05
