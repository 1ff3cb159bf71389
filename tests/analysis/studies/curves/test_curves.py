import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.curves import COMMAND
from analysis.data.cost_law import SIX_ND
from analysis.data.run_arrays import RunArrays
from analysis.errors import FitError
from analysis.figures.questions.curves import labels
from analysis.fits.curve_law.law import CurveLaw
from analysis.fits.curve_law.path import past_of
from analysis.format import number
from analysis.sections.questions.curves import conclusion
from analysis.studies.curves.ends import end_envelope
from analysis.studies.curves.study import curves_of, study_curves
from isoflop import fit_curves
from tests.analysis.fits.curve_law.test_curve_law import LAW, SHAPE, curve
from tests.support.published import published_table
from train.commands.command_line import run_command

SIZES = (5e4, 1e5, 2e5, 4e5, 8e5, 1.6e6, 3.2e6)
LADDER = CurveLaw({n: 1.2 + 30 * n**-0.3 for n in SIZES}, 0.6, 0.2, SHAPE, 1e6, 0.0, 0)


def cosine_sweep(noise: float, seed: int = 0):
    """Three lengths of each size under a cosine: curves, and final losses off the same law."""
    curves = [
        curve(n, steps, "cosine", LADDER, noise, seed + i)
        for i, n in enumerate(SIZES)
        for steps in (2_000, 8_000, 32_000)
    ]
    n, d = (np.array([get(c) for c in curves]) for get in (lambda c: c.size,
                                                           lambda c: c.n_tokens[-1]))  # fmt: skip
    rng = np.random.default_rng(seed + 100)
    final = np.array([LADDER.loss(c.size, past_of(c.n_tokens, c.lr))[-1] for c in curves])
    loss = 1.1 * final * np.exp(rng.normal(0, 0.1 * noise, len(n)))  # validation lies higher
    return curves, RunArrays("exact", n, d, 6 * n * d, loss, 6 * n * d, SIX_ND)


def test_curves_that_the_law_misses_are_counted_and_not_called_described():
    study = study_curves(cosine_sweep(0.0)[0])
    assert conclusion(study).startswith(f"One law describes {len(study.errors)} curves")
    worse = [replace(one, explained=0.3 + 0.65 * (i > 1)) for i, one in enumerate(study.errors)]
    said = conclusion(replace(study, errors=worse))
    assert said.startswith(f"One law misses 2 of {len(worse)} curves")


def test_the_envelope_of_ends_is_that_of_runs_that_ended():
    curves, runs = cosine_sweep(0.005)
    made = end_envelope(study_curves(curves), runs, [c.name for c in curves])
    place = made.fit.flops > 0
    # The true end of each of its points: a cosine of that length at that size.
    for n, d, loss in list(zip(made.fit.n_params[place], made.fit.n_tokens[place],
                               made.fit.loss[place], strict=True))[::200]:  # fmt: skip
        whole = curve(float(n), max(50, round(d / 100)), "cosine", LADDER)
        assert loss == pytest.approx(1.1 * whole.loss[-1], rel=0.01)
    least = min(
        1.1 * curve(n, round(4e12 / (6 * n) / 100), "cosine", LADDER).loss[-1] for n in SIZES[1:]
    )
    assert made.law is not None and made.law(4e12) == pytest.approx(least, rel=0.01)


def test_a_law_that_may_not_be_used_gives_no_ends():
    curves, runs = cosine_sweep(0.005)
    flat = [replace(c, lr=np.full(len(c.lr), 1e-3)) for c in curves]
    with pytest.raises(FitError, match="no run's learning rate falls"):
        end_envelope(study_curves(flat), runs, [c.name for c in curves])


def test_curves_of_a_table_keep_its_runs_and_smooth_nothing(sweep_dir):
    from analysis.data.readers import read_sweeps
    from analysis.data.reading.curve_points import sweep_points

    table, points = read_sweeps([sweep_dir]), sweep_points([sweep_dir])
    found = curves_of(table, points)
    assert [c.name for c in found] == [str(n) for n in table.texts("run_id")]
    one = points.loc[points["run_id"] == found[0].name]
    assert found[0].loss.tolist() == one["train_loss"].tolist()


def test_the_command_fits_some_curves_and_predicts_the_others(tmp_path, capsys):
    frames = []
    for one in (curve(1e6, 8_000, s) for s in ("cosine", "wsd", "linear")):
        frames.append(pd.DataFrame({"run": one.name, "n_tokens": one.n_tokens, "lr": one.lr,
                                    "loss": one.loss, "n_params": one.size}))  # fmt: skip
    table = tmp_path / "curves.csv"
    pd.concat(frames).to_csv(table, index=False)
    names = [frame["run"].iloc[0] for frame in frames]
    with pytest.raises(SystemExit, match="0"):
        run_command(COMMAND, [str(table), f"fit_to=[{names[0]},{names[1]}]",
                              f"out={tmp_path / 'out'}"], "isoflop curves")  # fmt: skip
    printed = capsys.readouterr().out
    assert "describes 2 curves" in printed and "R2 less noise at least" in printed
    made = json.loads((tmp_path / "out" / "curves" / "curves.json").read_text())
    worst = max((one for one in made["curves"] if one["fitted"]), key=lambda c: c["mean_error"])
    assert f"(at most {number(worst['mean_error'], 2)}: {worst['name']})" in printed
    made = json.loads((tmp_path / "out" / "curves" / "curves.json").read_text())
    assert [one["fitted"] for one in made["curves"]] == [True, True, False]
    assert made["curves"][2]["mean_error"] < 0.01
    assert LAW.levels[1e6] == pytest.approx(made["levels"]["1e+06"], abs=0.05)
    page = (tmp_path / "out" / "curves" / "report.html").read_text()
    assert "Whole loss curves" in page and "Errors by curve" in page


def test_curves_are_labelled_by_what_people_know_of_them():
    sweep = [replace(curve(n, 2_000, "cosine"), name=f"{n:.0f}f3c0") for n in (1e6, 4e6)]
    assert labels(sweep) == ["1M, 200k tokens", "4M, 200k tokens"]
    assert labels([sweep[0], replace(sweep[0], name="seed 1")]) == ["1000000f3c0", "seed 1"]
    assert labels([replace(sweep[0], size=1.0, name="wsd $x")]) == [r"wsd \$x"]


def test_ends_of_other_curves_have_an_interval_where_curves_can_be_left_out():
    curves, _ = cosine_sweep(0.005)
    made = study_curves(curves, [c.name for c in curves if not c.name.endswith("8000_400000")])
    assert 0 < made.end_half_width < 0.05
    (other,) = [one for one in made.errors if not one.fitted]
    assert abs(other.end_error) < made.end_half_width
    few = study_curves(curves, [c.name for c in curves[:3]])
    assert np.isnan(few.end_half_width) and few.to_json()["end_half_width"] is not None


def test_a_users_mistakes_say_what_is_there(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("run,step,loss\na,1,2\n")
    with pytest.raises(SystemExit, match="2"):
        run_command(COMMAND, [str(tmp_path / "x.csv"), f"out={tmp_path}"], "isoflop curves")
    assert "has no column lr of its curves" in capsys.readouterr().err
    with pytest.raises(FitError, match="no curve is called b"):
        study_curves([curve(1e6, 2_000, "cosine")], ["b"])
    with pytest.raises(FitError, match="no column lr"):
        fit_curves({"run": ["a"], "step": [1.0], "loss": [2.0]})


def test_the_published_curves_are_read_by_name():
    made = fit_curves(published_table("multipowerlaw"), ["constant_24000", "cosine_24000"])
    assert len(made.errors) == 9 and sum(one.fitted for one in made.errors) == 2
