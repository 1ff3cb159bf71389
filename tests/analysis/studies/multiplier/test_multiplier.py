import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND
from analysis.chosen_runs import fitted
from analysis.config import AnalysisConfig
from analysis.data.loss_table import LossTable
from analysis.data.readers import from_frame
from analysis.fits.min_loss_law import LossLaw
from analysis.fits.surface import Surface
from analysis.sections.questions.multiplier import conclusion
from analysis.studies.fit_config import FitConfig
from analysis.studies.multiplier.frontier import Frontier, flops_for, of_surface
from analysis.studies.multiplier.multiplier import (
    ComputeMultiplier,
    MultiplierPoint,
    multipliers,
    of_frontiers,
)
from analysis.studies.multiplier.recipes import recipe_multipliers
from analysis.studies.multiplier.shared_cells import counts_in_step
from analysis.studies.study import run_study
from tests.support.published import published_file
from train.commands.command_line import run_command
from train.config.cli import load_config

LAW = Surface(E=0.9, A=25.0, B=140.0, alpha=0.35, beta=0.40)
BUDGETS = np.geomspace(2e11, 6.4e12, 5)
CONFIG = FitConfig(approaches=["isoflop", "parametric"], n_resamples=200)
FEW = ("fit.approaches=[isoflop]", "fit.n_resamples=100")


def sweep(surface: Surface, noise: float, seed: int, **columns) -> LossTable:
    """Five budgets of six sizes about the optimum of LAW, with losses off a surface."""
    rng = np.random.default_rng(seed)
    best = np.asarray(LAW.optimal(BUDGETS).n_params)
    n = (best[:, None] * np.geomspace(0.25, 4, 6)).ravel()
    budget = np.repeat(BUDGETS, 6)
    d = budget / (6 * n)
    loss = surface.loss(n, d) * np.exp(rng.normal(0, noise, len(n)))
    cells = {"n_params": n, "n_tokens": d, "flops": budget, "flops_budget": budget, "loss": loss}
    return from_frame(pd.DataFrame({**cells, **columns}), "runs")


def study(surface: Surface, noise: float = 0.003, seed: int = 0, config=CONFIG, **columns):
    return run_study(sweep(surface, noise, seed, **columns), config)


def worth(m: float) -> Surface:
    """The surface on which tokens count m times: m times the compute at any loss."""
    return replace(LAW, A=LAW.A * m ** (-LAW.alpha * 0.5), B=LAW.B * m ** (-LAW.beta * 0.5))


def headline(made: ComputeMultiplier) -> MultiplierPoint:
    assert made.headline is not None, made.reason
    return made.headline


def true_multiplier(second: Surface, flops: float) -> float:
    a, b = (of_surface(surface, 1e12, 1) for surface in (LAW, second))
    return flops / float(flops_for(b, a(flops)))


def test_the_compute_of_a_loss_inverts_the_least_loss():
    law = of_surface(LAW, 1e12, 1)
    flops = np.array([1e11, 3e12, 5e14])
    assert law(flops) == pytest.approx(LAW.optimal(flops).loss)
    assert flops_for(law, law(flops)) == pytest.approx(flops)
    assert flops_for(law, np.array([0.9, 0.5])).tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("m", [0.5, 1.3, 3.0])
def test_a_known_multiplier_is_found_by_both_approaches_inside_its_interval(m):
    made = multipliers(study(LAW), study(worth(m), seed=1))
    assert [one.approach for one in made] == ["isoflop", "parametric"]
    for one in made:
        head = headline(one)
        truth = true_multiplier(worth(m), head.flops)
        low, high = head.interval
        assert low < truth < high and high / low < 1.6
        assert one.differs and head.p_value < 0.05 and head.beyond == pytest.approx(1)
        # At most the compute that both sides ran: no headline from an extrapolated law.
        assert max(head.flops, head.equal_flops) <= BUDGETS[-1] * 1.001


def test_equal_recipes_are_not_told_apart():
    for one in multipliers(study(LAW, seed=2), study(LAW, seed=3)):
        assert not one.differs and headline(one).p_value > 0.05
        assert "do not tell b from a" in conclusion("ab", [one])


def test_the_worse_one_is_said_to_need_more_compute():
    made = multipliers(study(LAW), study(worth(0.5), seed=1))
    said = conclusion("ab", made)
    assert said.startswith("b needs") and "times more compute than a" in said


def test_noise_that_both_share_cancels():
    """The same seeds shake both alike: resampled in step the interval is far narrower."""
    ours = study(LAW, 0.01, seed=5)
    in_step = multipliers(ours, study(worth(1.3), 0.01, seed=5))
    apart = multipliers(ours, _other(5))
    widths = [
        float(np.ptp(np.log(headline(one).interval)))
        for made in (in_step, apart)
        for one in made
        if one.approach == "parametric"
    ]
    assert widths[0] < widths[1] / 4
    assert in_step[0].n_shared == 30 and apart[0].n_shared == 0


def _other(seed: int):
    """The same runs as of other cells: a thousandth fewer tokens, so that none is shared."""
    table = sweep(worth(1.3), 0.01, seed)
    moved = table.runs.assign(n_tokens=table.runs["n_tokens"] * 0.999)
    return run_study(replace(table, runs=moved), CONFIG)


def test_shared_cells_are_drawn_together_and_the_rest_alone():
    first, second = np.array(["a", "b", "c", "x"]), np.array(["c", "a", "b", "y", "z"])
    ours, theirs = counts_in_step(first, second, 50, np.random.default_rng(0))
    assert (ours[:, :3] == theirs[:, [1, 2, 0]]).all()
    assert (ours[:, 3] == 1).all() and (theirs[:, 3:].sum(axis=1) == 2).all()
    assert len(np.unique(theirs[:, 3])) > 1


@pytest.mark.parametrize(
    ("columns", "others", "reason"),
    [
        ({"data": "web"}, {"data": "code"}, "validated on different data (web; code)"),
        ({"vocab_size": 257}, {"vocab_size": 50257}, "use fit.loss=bits_per_byte"),
        ({"data": "web", "data_fingerprint": "a"}, {"data": "web", "data_fingerprint": "b"},
         "validated on different data"),
    ],
)  # fmt: skip
def test_losses_of_different_text_give_no_multiplier(columns, others, reason):
    (made,) = multipliers(study(LAW, **columns), study(LAW, seed=1, **others))
    assert made.headline is None and reason in made.reason
    assert "can't be said" in conclusion("ab", [made])


def test_no_multiplier_without_intervals_or_beyond_the_compute_that_ran():
    bare = replace(CONFIG, n_resamples=0)
    for one in multipliers(study(LAW, config=bare), study(LAW, config=bare)):
        assert one.headline is None and "interval" in one.reason
    law = of_surface(LAW, 1e12, 1)
    draws = of_surface(replace(LAW, E=np.full(3, 0.9)), 1e12, 1)
    here, far = (Frontier(law, draws, flops) for flops in ((1e11, 1e12), (1e14, 1e15)))
    made = of_frontiers("isoflop", here, far, [5e11])
    assert made.headline is None and "no loss that the runs" in made.reason
    assert made.asked[0].value == pytest.approx(1) and made.asked[0].beyond > 100


def test_its_p_is_two_sided_and_never_zero():
    def side(drops):
        draws = LossLaw(np.ones(99), np.array(drops), np.full(99, 0.1), 1e12, 30)
        return Frontier(LossLaw(1.0, 1.0, 0.1, 1e12, 30), draws, (1e11, 1e13))

    alike = side([1.0] * 99)
    for better, p_value in ((9, 0.2), (0, 0.02), (50, 1.0)):
        other = side([0.9] * better + [1.1] * (99 - better))
        assert headline(of_frontiers("isoflop", alike, other)).p_value == pytest.approx(p_value)


def test_tuning_without_decay_costs_porian_et_al_compute_at_the_top():
    """RefinedWeb: their cosine matched to each run against their tuned runs, which do not decay."""
    paths = [published_file(f"porian2024_refinedweb_{i}.csv") for i in (3, 4)]
    ours, theirs = (
        fitted(load_config("analysis", [f"table.path={p}", *FEW], AnalysisConfig))[1] for p in paths
    )
    made = multipliers(ours, theirs)[0]
    assert made.approach == "isoflop" and headline(made).interval[1] < 0.75
    assert made.points[0].interval[0] > 2, "tuning wins on small budgets"


def test_compare_leads_with_it_on_tables(tmp_path, capsys):
    for name, table in {"old": sweep(LAW, 0.003, 0), "new": sweep(worth(2.0), 0.003, 1)}.items():
        table.runs.to_csv(tmp_path / f"{name}.csv", index=False)
    paths = [str(tmp_path / f"{name}.csv") for name in ("old", "new")]
    overrides = [f"compare=[{','.join(paths)}]", f"out={tmp_path / 'out'}", *FEW]
    with pytest.raises(SystemExit, match="0"):
        run_command(COMMAND, [*overrides, "allocation.flops=[1e13]"], "isoflop analyze")
    assert capsys.readouterr().out.startswith("new needs")
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    head, asked = (written["multipliers"][0][key] for key in ("headline", "asked"))
    assert head["interval"][0] < 2 < head["interval"][1] and asked[0]["beyond"] > 1.5
    html = (tmp_path / "out" / "report.html").read_text()
    assert "What the second is worth" in html and "beyond the compute that ran" in html


def test_recipes_of_one_sweep_are_compared_at_the_best_of_the_rates_that_each_was_tuned_over():
    """The second one's other rates are bad enough to make it look the worse of the two."""
    made = {"first": (LAW, (1.0, 1.02, 1.05)), "second": (worth(2.0), (1.0, 1.2, 1.8))}
    rows = [
        sweep(surface, 0.003, number).runs.assign(
            grid=name, lr_peak=10.0**-place, loss=lambda f, k=factor: f.loss * k
        )
        for number, (name, (surface, factors)) in enumerate(made.items())
        for place, factor in enumerate(factors)
    ]
    table = from_frame(pd.concat(rows).assign(run_id=lambda f: range(len(f))), "runs")
    config = replace(CONFIG, approaches=["isoflop"], n_resamples=100)
    (found,) = recipe_multipliers(table, config, "exact", ["first", "second"]).values()
    low, high = headline(found[0]).interval
    assert low < 2 < high and low > 1.5
