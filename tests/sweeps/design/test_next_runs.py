"""What is worth running next, from the content of fits.json and the runs that were fitted."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.stored_fits import StoredFit, StoredFits, fits_of_json
from analysis.studies.known_surfaces import BESIROGLU
from sweeps.design.candidates import Ladder, Limits
from sweeps.design.next_runs import FittedRuns, Proposal, brackets, more_seeds, nominal, propose
from train.config.spec import ModelSpec

LADDER = Ladder.of(ModelSpec(vocab_size=257, seq_len=64))
BUDGETS = [1e11, 1e12]
WIDTHS = [16, 24, 32, 48, 64]
SURFACE = {name: getattr(BESIROGLU, name) for name in ("E", "A", "B", "alpha", "beta")}


def fitted_runs(noise: float = 0.005) -> FittedRuns:
    """Two budgets of five widths, one seed, on the surface of Besiroglu et al."""
    index = np.flatnonzero(np.isin(LADDER.d_model, WIDTHS))
    budget = np.repeat(BUDGETS, len(index))
    index = np.tile(index, len(BUDGETS))
    n_params = LADDER.n_params[index]
    n_tokens = 0.999 * budget / LADDER.flops_per_token[index]
    loss = BESIROGLU.loss(n_params, n_tokens)
    drawn = np.exp(np.random.default_rng(0).normal(0, noise, len(budget)))
    flops = 0.999 * budget
    seed = np.zeros(len(budget))
    return FittedRuns(LADDER.d_model[index], n_params, n_tokens, flops, budget, seed, loss * drawn)


def profile(flops: float, **changes) -> dict:
    """A budget's entry of fits.json, well bracketed unless told otherwise."""
    n_opt = float(LADDER.n_params[LADDER.best(BESIROGLU, flops)])
    entry = {
        "flops": flops,
        "n_opt": n_opt,
        "n_opt_interval": [n_opt / 1.1, n_opt * 1.1],
        "bracketed": True,
        "reason": "",
        "propose_n_params": [],
    }
    return {**entry, **changes}


def fits(*profiles: dict, status: str = "converged") -> StoredFits:
    return fits_of_json({
        "isoflop": {"budgets": list(profiles)},
        "parametric": {**SURFACE, "status": status, "reason": "why not"},
        "cost": {"k": 20.0, "gamma": 0.9},
    })  # fmt: skip


def proposals(content: StoredFits, budget: float = 1e13, **changes):
    given = {"limits": Limits(), "seeds": (0,), "budget": budget, **changes}
    return propose(content, fitted_runs(), LADDER, **given)


def test_an_open_minimum_gets_the_sizes_that_would_bracket_it():
    target = float(LADDER.n_params[list(LADDER.d_model).index(96)])
    open_one = profile(
        0.999e11, bracketed=False, reason="the largest model has the lowest loss",
        propose_n_params=[target, 1.01 * target, LADDER.n_params[list(LADDER.d_model).index(64)]],
    )  # fmt: skip
    found = brackets(fits(open_one), fitted_runs(), LADDER, (0, 1))
    assert found == [
        Proposal("bracket", 1e11, (96,), (0, 1), "the largest model has the lowest loss")
    ]
    assert isinstance(found[0], Proposal)
    assert found[0].flops == 2e11


def test_a_minimum_beyond_the_ladder_is_said_and_not_proposed():
    beyond = profile(1e11, propose_n_params=[float(LADDER.n_params[3])])
    runs = replace(fitted_runs(), d_model=np.full(10, LADDER.d_model[3]))
    (found,) = brackets(fits(beyond), runs, LADDER, (0,))
    assert "no further size" in str(found)


def test_noise_wider_than_a_grid_step_asks_for_another_seed():
    n_opt = float(LADDER.n_params[list(LADDER.d_model).index(32)])
    noisy = profile(1e12, n_opt=n_opt, n_opt_interval=[n_opt / 4, n_opt * 4])
    runs = fitted_runs()
    (found,) = more_seeds(fits(noisy, profile(1e11)), runs, LADDER)
    assert isinstance(found, Proposal)
    assert (found.budget, found.d_models, found.seeds) == (1e12, (24, 32, 48), (1,))
    assert "factor 4.00 either way" in found.reason
    off_ladder = replace(runs, n_params=runs.n_params * 1.001)
    assert "not of the ladder" in str(more_seeds(fits(noisy), off_ladder, LADDER)[0])


def test_telling_cells_are_new_within_the_fitted_ratios_and_the_budget():
    found = proposals(fits(profile(1e11), profile(1e12)), budget=4e12)
    assert found.made
    assert {item.kind for item in found.made} == {"inform"}
    assert found.flops <= 4e12
    assert found.after < found.before
    runs = fitted_runs()
    ratio = runs.n_tokens / runs.n_params
    done = set(zip(runs.d_model, runs.budget, strict=True))
    for item in found.made:
        for width in item.d_models:
            index = list(LADDER.d_model).index(width)
            own = item.budget / LADDER.flops_per_token[index] / LADDER.n_params[index]
            assert ratio.min() <= own <= ratio.max()
            assert (width, item.budget) not in done


def test_limits_of_the_data_hold_for_telling_cells():
    few = proposals(fits(), limits=Limits(max_tokens=1.0))
    assert not few.made


def test_what_the_budget_does_not_reach_is_named():
    n_opt = profile(1e12)["n_opt"]
    noisy = profile(1e12, n_opt_interval=[n_opt / 9, n_opt * 9])
    found = proposals(fits(noisy), budget=1e12)
    assert all(item.kind != "seeds" for item in found.made)
    assert "seeds at 1e12: 3e+12 FLOPs are more than the 1e+12 that are left" in found.left_out[0]


@pytest.mark.parametrize("status", ["degenerate", "max_iterations", "bound_hit"])
def test_a_fit_that_did_not_converge_chooses_no_cells_without_force(status):
    open_one = profile(1e11, propose_n_params=[1e6], reason="no run on this side")
    found = proposals(fits(open_one, status=status))
    assert [item.kind for item in found.made] == ["bracket"]
    assert f"is {status} (why not)" in found.left_out[0]
    assert np.isnan(found.after)
    forced = proposals(fits(open_one, status=status), force=True)
    assert {item.kind for item in forced.made} == {"bracket", "inform"}


def test_force_does_not_make_numbers_of_none():
    content = replace(fits(), parametric=StoredFit(status="degenerate"))
    found = proposals(content, force=True)
    assert not found.made
    assert "no parametric surface" in found.left_out[0]


def test_cells_of_an_earlier_proposal_count_as_known():
    both = proposals(fits(), budget=3e12)
    more = proposals(fits(), budget=6e12)
    assert more.after < both.after


def test_budgets_are_those_that_the_grid_asked_for():
    runs = fitted_runs()
    assert nominal(runs, 0.97e12) == 1e12
    nothing = replace(runs, budget=np.full(10, np.nan))
    assert nominal(nothing, 1.23456e12) == 1.23e12
