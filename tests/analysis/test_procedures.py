"""Published procedures, objectives by name, resampling: `fit=NAME` on tables of known fits."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import fitted
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.sections.prose.opening import decision
from analysis.sections.summary import caveats
from tests.support.analyses import config, fits_of
from tests.support.published import published_table

ROOT = Path(__file__).parents[2]


HOFFMANN = "published:hoffmann2022"


@pytest.mark.slow
def test_published_numbers_through_the_front_door(tmp_path):
    published_table("hoffmann2022")
    command = [sys.executable, "-m", "analysis", HOFFMANN, "fit=besiroglu"]
    done = subprocess.run(
        [*command, f"out={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(str(tmp_path / "report.html"))
    fit = json.loads((tmp_path / "fits.json").read_text())["parametric"]
    assert fit["objective"] == pytest.approx(1.018274018e-3, rel=1e-8)
    assert fit["A"] == pytest.approx(477.83, rel=1e-4)
    errors = {"A": 124.522, "B": 1293.284, "E": 0.02566, "alpha": 0.01540, "beta": 0.02060}
    for name, error in errors.items():
        assert fit["standard_errors"][name] == pytest.approx(error, rel=0.02)


def test_hoffmanns_bug_is_shown_as_such():
    published_table("hoffmann2022")
    _, study, _ = fitted(config(HOFFMANN, "fit=hoffmann"))
    parametric = study.fits["parametric"]
    assert parametric.status == "max_iterations"
    assert "stopped after 2 iterations" in parametric.reason
    assert parametric.parameters["A"] == pytest.approx(406.4, rel=1e-3)
    assert any("max_iterations" in note for note in caveats(study))


def test_a_mean_loss_stops_lbfgs_where_it_starts(made_csv):
    """Hoffmann et al.'s error, on a surface whose truth is known."""
    truth = Surface(1.817, 482.0, 2085.0, 0.348, 0.366)
    table = f"table={made_csv(n_runs=240, noise=0.01, surface=truth)}"
    stopped = fitted(config(table, "fit=hoffmann", "fit.drop_highest=0"))[1].fits["parametric"].fit
    right = fitted(config(table, "fit.n_resamples=0"))[1].fits["parametric"].fit
    assert stopped.status == "max_iterations"
    assert stopped.objective > 1.05 * right.objective / 240


@pytest.mark.parametrize("name", ["vpnls", "takano", "gadre"])
def test_objectives_by_name_reach_fit_intervals_and_json(made_csv, name):
    table = f"table={made_csv(n_runs=60, noise=0.005)}"
    default = fits_of(table, "fit.n_resamples=100")
    fits = fits_of(table, f"fit={name}", "fit.n_resamples=100")
    found, usual = fits["parametric"], default["parametric"]
    assert found["status"] == "converged"
    assert "residuals of the loss itself" in found["objective_is"]
    assert found["alpha"] != usual["alpha"]
    free = "E" if name == "gadre" else "alpha"
    for kind in ("intervals", "intervals_profile"):
        assert found[kind][free] != usual[kind][free]
        assert found[kind][free][0] < found[free] < found[kind][free][1]
    assert found["standard_errors"]["E"] != usual["standard_errors"]["E"]
    if name == "gadre":
        assert found["alpha"] == found["beta"]
        assert found["intervals"]["a"] == pytest.approx([0.5, 0.5], abs=0.02)


def test_bits_per_byte_can_be_fitted(made_csv):
    path = made_csv(n_runs=60)
    frame = pd.read_csv(path)
    frame.assign(bits_per_byte=frame["loss"] / 3).to_csv(path, index=False)
    nats, bits = (fits_of(f"table={path}", f"fit.loss={column}", "fit.n_resamples=0")
                  for column in ("loss", "bits_per_byte"))  # fmt: skip
    assert bits["parametric"]["E"] == pytest.approx(nats["parametric"]["E"] / 3, rel=1e-6)
    assert bits["parametric"]["alpha"] == pytest.approx(nats["parametric"]["alpha"], rel=1e-6)
    assert any("bits_per_byte (fit.loss)" in note for note in bits["warnings"])


def test_cs336_has_one_exponent_under_every_approach_that_it_allows():
    published_table("cs336")
    fits = fits_of("published:cs336", "fit.n_resamples=200")
    for approach in ("isoflop", "parametric"):
        low, high = fits[approach]["intervals"]["a"]
        assert low - 1e-6 <= 0.514286 <= high + 1e-6
    assert "no training curves" in fits["envelope"]["reason"]


def test_the_gemstones_procedure():
    published_table("gemstones")
    table = "published:gemstones"
    envelope = fits_of(table, "fit=gemstones", "fit.n_resamples=100")["envelope"]
    assert (envelope["a"], envelope["b"]) == pytest.approx((0.499380, 0.480989), abs=5e-7)
    assert envelope["n_points"] == 21
    assert envelope["intervals"]["a"][0] < envelope["a"] < envelope["intervals"]["a"][1]


def test_tokens_that_a_curve_passed_are_no_extrapolation_of_the_envelope():
    published_table("gemstones")
    fits = fits_of("published:gemstones", "fit.n_resamples=0", "allocation.flops=[3.2e20]")
    (row,) = (row for row in fits["allocation"] if row["approach"] == "envelope")
    assert 1e10 < row["d_opt"] < 1e11  # every run ends at 1e11
    assert row["beyond"] == {}


def test_the_porian_procedure(sweep_dir):
    fits = fits_of(str(sweep_dir), "fit=porian", "fit.n_resamples=0")
    assert fits["isoflop"]["curve"] == "akima"
    assert fits["isoflop"]["intervals"]["a"][0] < fits["isoflop"]["a"]
    assert fits["envelope"] is None


@pytest.mark.parametrize("resample", ["seeds", "n_params", "flops_budget"])
def test_resampling_by_seeds_and_clusters(sweep_dir, resample):
    approaches = "fit.approaches=[envelope,parametric]"
    by = f"fit.resample={resample}"
    fits = fits_of(str(sweep_dir), by, approaches, "fit.n_resamples=100")
    assert fits["resample"] == resample
    assert fits["n_resamples"] == 100
    low, high = fits["parametric"]["intervals"]["alpha"]
    assert low < fits["parametric"]["alpha"] < high


def test_what_cannot_be_resampled_says_so(sweep_dir, tmp_path, made_csv):
    with pytest.raises(FitError, match="no column of the runs"):
        fits_of(str(sweep_dir), "fit.resample=nothing", "fit.n_resamples=100")
    frame = pd.read_csv(made_csv(n_runs=60, noise=0.01)).assign(seed=0)
    frame.to_csv(tmp_path / "one_seed.csv", index=False)
    fits = fits_of(f"{tmp_path / 'one_seed.csv'}", "fit.resample=seeds", "fit.n_resamples=100")
    assert "No bootstrap: no cell ran with two seeds" in " ".join(fits["warnings"])
    assert fits["parametric"]["intervals"]["a"] == fits["parametric"]["intervals_profile"]["a"]


def test_fewer_runs_than_parameters_say_so(tmp_path):
    frame = pd.DataFrame({"n_params": [1e6, 1e7], "n_tokens": [1e9, 1e8], "loss": [3.0, 2.0]})
    frame.to_csv(tmp_path / "two.csv", index=False)
    _, study, advice = fitted(config(f"{tmp_path / 'two.csv'}"))
    assert "2 runs can't determine 5 parameters" in study.missing["parametric"]
    assert "do not determine" in decision(study, advice)


def test_losses_in_bits_are_suspected(tmp_path, made_csv):
    frame = pd.read_csv(made_csv(n_runs=240, noise=0.01))
    frame.loc[frame.index[::10], "loss"] /= np.log(2)
    frame.to_csv(tmp_path / "mixed.csv", index=False)
    fits = fits_of(f"{tmp_path / 'mixed.csv'}", "fit.n_resamples=0")
    assert "24 runs lie a factor of 1.44" in fits["warnings"][0]
