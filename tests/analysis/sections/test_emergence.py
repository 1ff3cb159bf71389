"""From evals.parquet rows to a section: simulated models whose truth is known."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.emergence.abilities import abilities
from analysis.emergence.lengths import length_deviation
from analysis.emergence.null import median_chance_null
from analysis.emergence.study import AbilityStudy, study_ability, study_all
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
    assert names == [
        "seeds", "tokens", "metrics", "resolution", "length", "loss", "flops", "model",
    ]  # fmt: skip
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


def test_several_lengths_of_training_give_a_curve_each(tables) -> None:
    evals, runs = tables
    longer = evals.assign(run_id=evals["run_id"] + "-long", n_tokens=2e6, flops=evals["flops"] * 2)
    found = abilities(pd.concat([evals, longer]), runs)
    assert [(a.scale, a.curve.label, len(a.points("exact_match"))) for a in found] == [
        ("n_params", "D = 1e+06", 16),
        ("n_params", "D = 2e+06", 16),
    ]
    assert len({a.slug for a in found}) == 2


def isoflop() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three budgets of five sizes each, whose FLOPs miss the budget by rounding."""
    evals, runs = simulated(SIZES[:5], seeds=1)
    parts, budgets = [], []
    for budget in (1e10, 3e10, 1e11):
        ids = evals["run_id"] + f"-{budget:g}"
        flops = budget * (1 + 1e-3 * np.sin(evals["n_params"]))
        tokens = (flops / evals["n_params"] / 6).round()
        parts.append(evals.assign(run_id=ids, flops=flops, n_tokens=tokens))
        budgets.append(runs.assign(run_id=runs["run_id"] + f"-{budget:g}", flops_budget=budget))
    return pd.concat(parts), pd.concat(budgets)


def test_an_isoflop_sweep_is_one_curve_per_budget_over_size() -> None:
    studies = studied(*isoflop())
    assert [s.ability.curve.label for s in studies] == [
        "budget C = 1e+10", "budget C = 3e+10", "budget C = 1e+11",
    ]  # fmt: skip
    assert all(study.metrics[0].n_scales == 5 for study in studies), "not 15 scales"
    section = emergence_section(studies)
    assert [spec.name for spec in section.figures] == [
        "emergence-addition-3-plain-budget-1e_10-curves"
    ]
    assert len(section.figures[0].figure.axes[0].lines) == 3
    assert "gives 3 curves over parameters N" in section.paragraphs[0]
    assert "budget C = 3e+10: 5 points, exact match" in section.paragraphs[0]


def test_what_nobody_learnt_is_one_sentence_without_figures(tables) -> None:
    evals, runs = tables
    zero = evals["metric"].isin(["exact_match"])
    evals = evals.assign(value=evals["value"].where(~zero, 0.0))
    section = emergence_section(studied(evals, runs))
    assert section.figures == section.tables == []
    (sentence,) = section.paragraphs
    assert sentence.startswith("addition-3, plain: nothing was learnt: none of 16 checkpoints")
    assert "below 0.0038" in sentence


def split_seeds(upper: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Models of which, at sizes in the middle, one seed in two has the ability."""
    evals, runs = simulated(SIZES, seeds=2)
    seed = evals["run_id"].str[-1].astype(int)
    late = evals["n_params"] > np.where(seed == 0, 5e3, 2e4)
    accuracy = evals["metric"].isin(["exact_match", "answer_probability"])
    value = np.where(late, upper, 0.02)
    return evals.assign(value=evals["value"].where(~accuracy, value)), runs


def test_seeds_that_split_are_a_distribution_and_never_a_mean() -> None:
    (study,) = studied(*split_seeds(0.93))
    assert study.seeds is not None
    assert [size.n_have for size in study.seeds.sizes] == [0, 0, 0, 1, 1, 2, 2, 2]
    assert study.seeds.mixture is not None
    assert study.seeds.mixture.p_value <= 0.05
    assert (study.metrics[0].summary, study.metrics[0].score) == ("median of seeds", math.inf)
    for metric in study.metrics:
        assert metric.score == pytest.approx(np.median(list(metric.seed_scores.values())))
        own = median_chance_null(metric.score, [metric.n_scales] * len(metric.seed_scores))
        assert metric.chance == own
    section = emergence_section([study])
    names = [spec.name.removeprefix("emergence-addition-3-plain-") for spec in section.figures]
    assert names[0] == "seeds"
    text = "\n".join(section.paragraphs)
    assert "the model itself changes abruptly" in section.paragraphs[0]
    assert "range from 0.02 to 0.93" in text
    assert "0.47" not in text, "the mean of a seed that can and one that can't"
    exact = section.figures[names.index("metrics")].figure.axes[0]
    drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in exact.lines])
    assert not ((drawn > 0.1) & (drawn < 0.9)).any()
    for spec in section.figures:
        spec.figure.canvas.draw()


def test_independent_tokens_are_said_to_be_the_metric_s_doing(tables) -> None:
    section = emergence_section(studied(*tables))
    assert "here the metric makes the jump" in section.paragraphs[0]
    assert "Seeds agree" in "\n".join(section.paragraphs)


def continuations() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Half of the items far easier than the others: p^k holds in each half and not over both."""
    evals, runs = simulated(SIZES[3:], seeds=1)
    keep = evals["target_length"].notna() & evals["n_first"].isna() & (evals["split"] == "heldout")
    keep &= evals["metric"] != "stop_accuracy"
    halves = []
    for name, power in (("stratum 1 of 2", 0.1), ("stratum 2 of 2", 4.0)):
        p = np.exp(-evals["loss"] * power)
        value = evals["value"].where(evals["metric"] != "token_accuracy", p)
        value = value.where(evals["metric"] != "exact_match", p ** evals["target_length"])
        halves.append(evals.assign(value=value, operands=name))
    both = halves[0].assign(value=(halves[0]["value"] + halves[1]["value"]) / 2, operands="all")
    rows = pd.concat([part[keep] for part in (both, *halves)])
    whole = rows[(rows["target_length"] == 4) & rows["position"].isna()]
    rows = pd.concat([rows, whole.assign(target_length=np.nan)])
    return rows.assign(task="continuation", format="context 64"), runs


def test_p_to_the_k_holds_within_strata_and_not_over_items_that_differ() -> None:
    section = emergence_section(studied(*continuations()))
    (figure,) = section.figures
    assert figure.name == "emergence-continuation--context-64-strata"
    left, right = figure.figure.axes
    assert [len(axes.collections) for axes in (left, right)] == [1, 2]
    (text,) = section.paragraphs
    assert "0.000 in stratum 1 of 2, 0.000 in stratum 2 of 2" in text
    assert "much of the gap is heterogeneity of items" in text


def test_chance_stands_in_every_figure_of_an_accuracy(tables) -> None:
    evals, runs = tables
    accuracy = evals["metric"].isin(["exact_match", "token_accuracy"])
    section = emergence_section(
        studied(evals.assign(chance=np.where(accuracy, 0.125, np.nan)), runs)
    )
    lines = {
        spec.name.rpartition("-")[2]: [
            [float(line.get_ydata()[0]) for line in axes.lines if line.get_linestyle() == "-."]
            for axes in spec.figure.axes
        ]
        for spec in section.figures
    }
    assert lines["metrics"] == [[0.125], [], [0.125], []]
    assert lines["tokens"] == [[0.125], [0.125, 0.125], []]
    assert lines["resolution"] == lines["length"][:1] == lines["loss"][:1] == [[0.125]]
    assert lines["seeds"][0] == lines["model"][1] == [0.125]


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
