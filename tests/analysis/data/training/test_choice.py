from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.loss_table import LossTable
from analysis.data.training.choice import with_curves
from analysis.data.training.smoothed import smoothed
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.studies.fit_config import FitConfig
from analysis.studies.study import run_study

LAW = Surface(E=1.8, A=480.0, B=480.0, alpha=0.35, beta=0.35)
SIZES = np.geomspace(1e6, 3e8, 9)
VALIDATION_ABOVE_TRAINING = 1.03


def table(noise=0.01, epochs=1.0):
    """Runs of 4 N tokens with three validation losses and three hundred training losses each."""
    rng, runs, curves, training = np.random.default_rng(0), [], [], []
    for n in SIZES:
        d = np.linspace(4 * n / 300, 4 * n, 300)
        loss = LAW.loss(n, d - 4 * n / 600) * np.exp(rng.normal(0, noise, 300))
        made = smoothed(d, loss, 0.2 * n)
        ends = np.array([n / 2, 2 * n, 4 * n])
        valid = np.asarray(VALIDATION_ABOVE_TRAINING * LAW.loss(n, ends))
        runs.append({
            "run_id": f"{n:.3g}", "n_params": n, "n_tokens": 4 * n, "flops": 24 * n * n,
            "flops_budget": np.nan, "loss": float(valid[-1]), "epochs": epochs,
        })  # fmt: skip
        curves.append(pd.DataFrame({"run_id": f"{n:.3g}", "n_tokens": ends, "flops": 6 * n * ends,
                                    "loss": valid}))  # fmt: skip
        training.append(pd.DataFrame({"run_id": f"{n:.3g}", "n_tokens": made.n_tokens,
                                      "flops": 6 * n * made.n_tokens, "loss": made.loss,
                                      "error": made.error, "window": 0.1}))  # fmt: skip
    return LossTable(pd.DataFrame(runs), pd.concat(curves, ignore_index=True),
                     training=pd.concat(training, ignore_index=True))  # fmt: skip


def test_one_epoch_reads_training_losses_at_the_level_of_validation():
    chosen, losses = with_curves(table(), "auto")
    assert losses.kind == "training"
    assert losses.level == pytest.approx(VALIDATION_ABOVE_TRAINING, rel=3e-3)
    assert 0 < losses.error < 0.01
    assert len(chosen.curves) == len(table().training)
    ends = chosen.curves.groupby("run_id", sort=False).last()["loss"]
    assert ends.to_numpy() == pytest.approx(table().runs["loss"].to_numpy(), rel=0.01)


@pytest.mark.parametrize(
    ("made", "asked", "kind", "reason"),
    [
        (table(epochs=2.5), "auto", "validation", "up to 2.5 times"),
        (table(epochs=2.5), "training", "training", "2.5 epochs"),
        (table(noise=0.2), "auto", "validation", "batches are noisy"),
        (table(noise=0.2), "training", "training", "no run saw a token twice"),
        (table(), "validation", "validation", "fit.curve_loss=validation"),
        (replace(table(), training=pd.DataFrame()), "auto", "table", "no training losses"),
    ],
)
def test_repeated_data_and_settings_decide(made, asked, kind, reason):
    chosen, losses = with_curves(made, asked)
    assert (losses.kind, reason in losses.reason) == (kind, True)
    assert (chosen.curves is made.curves) == (kind != "training")


def test_all_runs_are_read_alike():
    made = table()
    own = made.training
    lacking = replace(made, training=own.loc[own["run_id"] != own["run_id"].iloc[0]])
    chosen, losses = with_curves(lacking, "auto")
    assert chosen is lacking
    assert "1 of 9 runs logged fewer than 20" in losses.reason
    with pytest.raises(FitError, match=r"fit\.curve_loss=training, but 1 of 9 runs"):
        with_curves(lacking, "training")


def test_the_noise_of_smoothed_losses_is_in_the_interval():
    found = {}
    for name, made in (("quiet", table(0.001)), ("loud", table(0.01))):
        study = run_study(made, FitConfig(approaches=["envelope"], n_resamples=200))
        found[name] = study.fits["envelope"]
        details = found[name].to_json()
        assert details["curve_loss"]["kind"] == "training"
        assert details["curve_loss"]["window"] == 0.1
    assert found["quiet"].a == pytest.approx(LAW.a, abs=0.01)
    width = {name: np.ptp(fit.intervals["a"]) for name, fit in found.items()}
    assert width["loud"] > width["quiet"]
