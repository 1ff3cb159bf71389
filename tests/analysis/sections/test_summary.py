"""What the headline has to survive: fit quality, identification, extrapolation."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.readers import from_frame
from analysis.figures.style import count_span
from analysis.fits.surface import Surface
from analysis.format import count_label, number, span
from analysis.sections.fits import holdout_section
from analysis.sections.prose.opening import decision, proposals, sentences
from analysis.sections.summary import caveats, provenance
from analysis.studies.allocation import allocate
from analysis.studies.approaches.isoflop import IsoflopApproach
from analysis.studies.fit_config import FitConfig
from analysis.studies.study import Study, run_study

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
CONFIG = FitConfig(n_resamples=0, approaches=["isoflop", "parametric"])


def grid(spans=(0.2, 5.0), budgets=(1e17, 1e18, 1e19, 1e20), n_sizes=7) -> pd.DataFrame:
    """Budgets of sizes about the optimum of a known surface, with the noise of a seed."""
    rng = np.random.default_rng(5)
    best = np.asarray(SURFACE.optimal(np.array(budgets)).n_params)
    n_params = (best[:, None] * np.geomspace(*spans, n_sizes)).ravel()
    budget = np.repeat(budgets, n_sizes)
    n_tokens = budget / (6 * n_params)
    loss = np.asarray(SURFACE.loss(n_params, n_tokens)) * np.exp(
        0.002 * rng.normal(size=len(budget))
    )
    return pd.DataFrame(
        {"n_params": n_params, "n_tokens": n_tokens, "flops_budget": budget, "loss": loss}
    )


def studied(frame: pd.DataFrame, config: FitConfig = CONFIG) -> Study:
    return run_study(from_frame(frame, "made"), config)


def headline(study: Study, *flops: float) -> str:
    return decision(study, allocate(study, flops))


def test_runs_that_obey_a_law_get_a_headline_without_objection():
    study = studied(grid())
    assert headline(study).startswith("With 1e20 FLOPs, train")
    assert not any("not trusted" in note or "scatter" in note for note in caveats(study))


def test_three_sentences_say_what_to_train_how_sure_and_what_to_run_next():
    study = studied(grid())
    what, sure, following = headline(study).replace(". ", ".\n").splitlines()
    assert what.startswith("With 1e20 FLOPs, train")
    fit = study.preferred
    assert fit is not None
    (row,) = [row for row in allocate(study) if row.approach == fit.name and row.flops == 1e20]
    assert f"{count_label(row.n_opt)} parameters (95 % interval" in what
    assert f"interval {count_span(row.n_interval)}) on {count_label(row.d_opt)} tokens" in what
    assert sure.startswith(
        f"As compute grows, N should grow as C to the power {fit.a:.2g} "
        f"({span(fit.intervals['a'], 2)}); "
    )
    assert "; parametric says 0.4" in sure
    assert study.holdout is not None and study.holdout.rms is not None
    assert fit.name == "isoflop", "which predicts no single run"
    error = f"{100 * study.holdout.rms:.2g} % (rms, parametric)"
    assert sure.endswith(f"runs of the largest budget, left out, are predicted to {error}.")
    (best,) = [row for row in allocate(study, [4e20]) if row.approach == fit.name]
    low, high = (count_label(factor * best.n_opt) for factor in (0.25, 4))
    assert f"five sizes from {low} to {high} parameters at 4e20 FLOPs" in following
    assert "4 times the largest budget: that tests the law" in following
    short = studied(grid(spans=(0.2, 0.9)))
    if short.preferred is not None:
        assert "To be surer, run N = " in headline(short)


def test_runs_without_budgets_are_left_out_by_compute_and_called_so():
    frame = grid().drop(columns="flops_budget")
    spread = np.random.default_rng(0).uniform(0.3, 3, len(frame))
    frame = frame.assign(n_tokens=frame["n_tokens"] * spread)
    frame["loss"] = SURFACE.loss(frame["n_params"].to_numpy(), frame["n_tokens"].to_numpy())
    study = studied(frame, FitConfig(n_resamples=0, approaches=["parametric"]))
    said = headline(study, 1e19)
    assert "the 3 runs of most compute, left out, are predicted to" in said
    assert "% (rms)." in said, "by the law of the headline"
    assert "largest budget, left out" not in said
    assert "4 times the compute of the largest run: that tests the law" in said
    section = holdout_section(study)
    assert section is not None and section.title.startswith("Prediction of the runs of most")


def test_the_largest_open_budgets_are_asked_for_first_and_four_at_most():
    study = studied(grid(spans=(0.2, 0.9), budgets=tuple(np.geomspace(1e17, 1e20, 6))))
    isoflop = study.find(IsoflopApproach)
    assert isoflop is not None
    open_ended = [p.flops for p in isoflop.fit.profiles if not p.bracketed and len(p.propose)]
    assert len(open_ended) > 4
    asked = [line.rpartition(" at ")[2] for line in proposals(study)]
    assert asked == [f"{number(flops)} FLOPs" for flops in sorted(open_ended, reverse=True)[:4]]


def test_a_size_left_wide_open_asks_for_budgets_within_the_runs():
    """Five sizes at four times the largest run would cost most and leave it nearly as open."""
    frame = grid().drop(columns="flops_budget")
    frame["n_tokens"] *= np.random.default_rng(0).uniform(0.3, 3, len(frame))
    study = studied(frame, FitConfig(n_resamples=0, approaches=["parametric"]))
    (row,) = allocate(study, [1e19])
    for upper, said in ((9e8, "run five sizes from"), (2e9, "at each of 3 budgets between")):
        assert said in sentences(study, [replace(row, n_interval=(1e8, upper))])[2]


def test_budgets_that_are_asked_for_spread_over_ten_times_though_the_runs_do_not():
    study = studied(grid().drop(columns="flops_budget").head(2), FitConfig(n_resamples=0))
    (asked,) = proposals(study)
    low, high = map(float, re.findall(r"[\d.]+e\d+", asked))
    assert high == pytest.approx(10 * low, rel=0.01)


def test_kinds_of_runs_in_one_table_are_named_and_give_no_headline():
    """Two corpora, whose losses differ threefold, under a column of a name that is not known."""
    frame = grid()
    half = frame.assign(corpus="web", loss=frame["loss"] / 3)
    study = studied(pd.concat([frame.assign(corpus="code"), half], ignore_index=True))
    assert study.preferred is None
    assert "misses its own runs by" in headline(study)
    notes = " ".join(caveats(study))
    assert "corpus explains" in notes and "fit.where='corpus ==" in notes


def test_a_budget_beyond_the_runs_is_answered_and_marked_in_each_quantity():
    said = headline(studied(grid()), 1e24)
    assert said.startswith("With 1e24 FLOPs, train")
    assert "an extrapolation beyond the runs, in C by 1e+04 times, N by" in said.replace(
        "10,000", "1e+04"
    )


def test_sizes_on_one_side_of_every_minimum_determine_nothing_and_say_what_would():
    study = studied(grid(spans=(0.02, 0.3)))
    said = headline(study)
    if study.preferred is not None:  # approach 3 may still see the curvature
        assert study.preferred.name == "parametric"
        return
    assert said.startswith("These runs do not determine a compute-optimal size")
    assert "These would: N =" in said


def test_only_isoflop_asked_for_gives_its_headline_even_with_guessed_budgets():
    frame = grid().drop(columns="flops_budget")
    study = studied(frame, FitConfig(n_resamples=0, approaches=["isoflop"]))
    assert study.preferred is not None and study.preferred.name == "isoflop"


@pytest.mark.parametrize("size", [1e3, 1e12])
def test_a_row_outside_the_sizes_is_an_extrapolation_even_within_the_compute(size):
    study = studied(grid())
    fit = study.fits["parametric"]
    (row,) = [r for r in allocate(study, [fit.flops_for(size)]) if r.approach == "parametric"]
    assert "N" in row.beyond and row.extrapolated


def test_heads_whose_number_jumps_along_the_ladder_are_a_caveat_and_one_size_is_none():
    frame = grid(n_sizes=4)
    widths = np.tile([16, 24, 32, 48], len(frame) // 4)

    def said(*heads):
        table = frame.assign(d_model=widths, n_heads=np.tile(heads, len(frame) // 4))
        study = studied(table)
        notes = [note for note in caveats(study) if "number of heads" in note]
        return notes, dict(provenance(study)).get("head size")

    notes, sizes = said(2, 3, 2, 3)
    assert "(3 at width 24 and 2 at 32)" in notes[0] and len(notes) == 1
    assert sizes == "8, 16 channels"
    assert said(2, 3, 4, 6) == ([], "8 channels")
    assert said(np.nan, np.nan, np.nan, np.nan) == ([], None)
