"""From evals.parquet rows to a section: simulated models whose truth is known."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.emergence.abilities import abilities
from analysis.emergence.study import AbilityStudy, length_deviation, study_ability, study_all
from analysis.sections.emergence import emergence_json, emergence_section

SIZES = np.geomspace(1e3, 1e5, 8)


def simulated(sizes: np.ndarray = SIZES, seeds: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evals rows of models whose tokens succeed independently with p = exp(-(N/8e3)^-1)."""
    rows, runs = [], []
    for seed in range(seeds):
        for n in sizes:
            run_id = f"{n:.0f}-{seed}"
            runs.append({"run_id": run_id, "seed": seed})
            p = math.exp(-8e3 * (1 + 0.02 * seed) / n)
            common = {
                "run_id": run_id, "step": 100, "n_params": n, "n_tokens": 1e6, "flops": n * 6e6,
                "loss": -math.log(p), "task": "addition-3", "operands": "uniform_value",
                "format": "plain", "n_shots": 0, "split": "heldout",
            }  # fmt: skip
            rows += [common | row for row in _rows(p)]
    return pd.DataFrame(rows), pd.DataFrame(runs)


def _rows(p: float) -> list[dict[str, Any]]:
    def row(
        metric: str, value: float, length: int | None = None, n: int = 1000, **part: int
    ) -> dict[str, Any]:
        return {
            "metric": metric, "value": value, "ci_low": max(0.0, value - 0.01),
            "ci_high": value + 0.01, "n_items": n, "target_length": length, "position": None,
            "n_first": None, **part,
        }  # fmt: skip

    rows = []
    for length, share in ((None, 1.0), (3, 0.4), (4, 0.6)):
        match = p**length if length else 0.4 * p**3 + 0.6 * p**4
        distance = (length or 3.6) * (1 - p)
        n = int(1000 * share)
        rows += [
            row("exact_match", match, length, n),
            row("token_edit_distance", distance, length, n),
            row("token_accuracy", p, length, n),
            row("stop_accuracy", 1.0, length, n),
            row("token_nll", -math.log(p), length, n),
            row("answer_probability", match, length, n),
        ]
        rows += [
            row("token_accuracy", p, length, n, position=i) for i in range(1, (length or 0) + 1)
        ]
    few = round(100 * (0.4 * p**3 + 0.6 * p**4)) / 100
    rows.append(row("exact_match", few, n=100, n_first=100))
    rows.append(row("exact_match", 0.5, n=50) | {"split": "seen"})
    return rows


def studied(evals: pd.DataFrame, runs: pd.DataFrame) -> list[AbilityStudy]:
    return study_all(abilities(evals, runs))


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return simulated()


def test_independent_tokens_satisfy_all_three_predictions(tables) -> None:
    (ability,) = abilities(*tables)
    assert (ability.title, ability.scale) == ("addition-3, plain", "n_params")
    study = study_ability(ability)
    deviation = length_deviation(study.lengths)
    assert deviation == pytest.approx({"geometric": 0, "product": 0, "quasilinear": 0}, abs=1e-12)
    assert study.model is not None
    assert study.model.law.alpha == pytest.approx(-1, abs=1e-6)
    assert study.model.holdouts[0].accuracy_error < 0.02
    (resolution,) = study.resolutions
    assert (resolution.n_items, resolution.n_models) == (100, 16)
    assert resolution.n_zero >= 2
    assert study.missing == {}


def test_the_section_holds_figures_text_and_tables(tables) -> None:
    section = emergence_section(studied(*tables))
    names = [spec.name.removeprefix("emergence-addition-3-plain-") for spec in section.figures]
    assert names == ["metrics", "resolution", "length", "loss", "flops", "model"]
    text = "\n".join(section.paragraphs)
    for phrase in ("Prediction 1", "Prediction 2", "Prediction 3", "plateau", "Mathematical model"):
        assert phrase in text
    assert "0.500 on problems of the training split" in text
    assert "nan" not in text.lower().replace("finance", "")
    scores, _ = section.tables
    assert all(len(row) == len(scores.columns) for row in scores.rows)
    assert [row[1] for row in scores.rows][:2] == ["exact match", "P(fully correct), exact"]
    for spec in section.figures:
        spec.figure.canvas.draw()


def test_results_are_json_without_nan(tables) -> None:
    results = emergence_json(studied(*tables))
    text = json.dumps(results, allow_nan=False)
    (ability,) = json.loads(text)["abilities"]
    metric = ability["metrics"][0]
    assert metric["metric"] == "exact_match"
    assert metric["ramp_score"] == 7
    assert metric["chance"]["n_draws"] > 0
    assert ability["splits"]["seen"]["largest"] == 0.5


def test_a_companion_gives_lengths_and_nothing_else(tables) -> None:
    evals, runs = tables
    other = evals.assign(operands="uniform_length", value=evals["value"] / 2)
    both = pd.concat([evals, other])
    (ability,) = emergence_json(studied(both, runs))["abilities"]
    assert ability["task"] == "addition-3"
    assert ability["length"]["items_of"] == "addition-3, uniform_length, plain"
    assert ability["length"]["mean_absolute_deviation"]["geometric"] > 0.01


def test_several_lengths_of_training_are_ordered_by_flops(tables) -> None:
    evals, runs = tables
    longer = evals.assign(run_id=evals["run_id"] + "-long", n_tokens=2e6, flops=evals["flops"] * 2)
    (ability,) = abilities(pd.concat([evals, longer]), runs)
    assert ability.scale == "flops"


def test_only_final_checkpoints_enter_the_scale(tables) -> None:
    evals, runs = tables
    early = evals.assign(step=10, loss=9.0)
    (ability,) = abilities(pd.concat([early, evals]), runs)
    assert len(ability.points("exact_match")) == 16
    assert len(ability.points("exact_match", along_training=True)) == 32
    assert set(ability.points("exact_match").column("step")) == {100}


def test_too_few_scales_are_named_not_drawn() -> None:
    section = emergence_section(studied(*simulated(SIZES[:2], seeds=1)))
    assert section.figures == []
    assert "measured at 2 scales; a shape needs 3" in section.paragraphs[-1]
    assert "isoflop eval" in emergence_section([]).paragraphs[0]
