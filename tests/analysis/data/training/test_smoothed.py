import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.data.training.smoothed import TRAINING_COLUMNS, smoothed, training_curves

STEPS = np.arange(1.0, 801.0)


def means(steps=STEPS, noise=0.0, rng=None):
    """Losses of a power law as a run logs them: means since the point before."""
    middle = (steps + np.append(0.0, steps[:-1])) / 2
    loss = 2 + 5 * middle**-0.4
    return loss if rng is None else loss * np.exp(rng.normal(0, noise, len(steps)))


def points(name, n=200, lr=1e-3):
    steps = np.arange(1.0, n + 1)
    return pd.DataFrame({
        "run_id": name, "step": steps.astype(int), "n_tokens": (1000 * steps).astype(int),
        "flops": 6e6 * steps, "train_loss": means(steps), "loss": np.nan, "lr": lr,
    })  # fmt: skip


def test_a_smooth_curve_is_kept_as_it_is_and_at_its_place():
    steps = np.arange(10.0, 8001.0, 10.0)
    made = smoothed(steps, means(steps), 800.0)
    assert made.loss == pytest.approx(2 + 5 * made.n_tokens**-0.4, rel=3e-4)
    assert made.n_tokens[-1] == pytest.approx(8000.0)
    assert made.n_tokens[0] >= 800.0


def test_errors_are_those_of_the_noise():
    rng = np.random.default_rng(0)
    made = [smoothed(STEPS, means(STEPS, 0.02, rng), 80.0) for _ in range(60)]
    off = np.array([np.log(m.loss / (2 + 5 * m.n_tokens**-0.4)) / m.error for m in made])
    assert off.std() == pytest.approx(1.0, abs=0.15)
    assert abs(off.mean()) < 0.15
    assert made[0].error[-1] < 0.02 / 4


def test_where_points_are_sparse_a_line_takes_eight_of_them():
    """Points further apart than the window: the error is that of eight, as far as one can tell."""
    steps = np.geomspace(1, 1e5, 50)
    made = smoothed(steps, means(steps, 0.02, np.random.default_rng(2)), 1.0)
    assert np.median(made.error) == pytest.approx(0.02 / np.sqrt(8), rel=0.3)


def test_a_run_over_two_row_groups_is_one_curve(tmp_path):
    table = pa.Table.from_pandas(pd.concat([points("a"), points("b")], ignore_index=True))
    pq.write_table(table, tmp_path / "whole.parquet")
    pq.write_table(table, tmp_path / "parts.parquet", row_group_size=70)
    whole, parts = (training_curves(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts)
    assert list(whole) == list(TRAINING_COLUMNS)
    assert set(whole["run_id"]) == {"a", "b"}
    assert whole["flops"].to_numpy() == pytest.approx(6e3 * whole["n_tokens"].to_numpy())


def test_noise_widens_the_window_for_all_runs_alike(tmp_path):
    rng = np.random.default_rng(0)
    for noise, window in ((0.005, 0.1), (0.017, 0.2), (0.2, 0.3)):
        shaken = points("loud")
        shaken["train_loss"] *= np.exp(rng.normal(0, noise, len(shaken)))
        shaken.to_parquet(tmp_path / "curves.parquet")
        assert set(training_curves(tmp_path / "curves.parquet")["window"]) == {window}, noise


def test_runs_without_rates_or_with_few_points_have_no_training_curve(tmp_path):
    frame = pd.concat([points("simulated", lr=np.nan), points("short", n=15), points("long")])
    frame.to_parquet(tmp_path / "curves.parquet")
    assert set(training_curves(tmp_path / "curves.parquet")["run_id"]) == {"long"}
    frame.drop(columns="lr").to_parquet(tmp_path / "old.parquet")
    assert len(training_curves(tmp_path / "old.parquet")) == 0


def test_a_curve_begins_behind_the_warm_up_and_the_first_steps(tmp_path):
    """The rate peaks at step 60 of 200; without a warm-up 5 % of the run are left out."""
    warmed = points("warmed")
    warmed["lr"] = np.minimum(warmed["step"] / 60, 1.0) * 1e-3
    pd.concat([warmed, points("plain")]).to_parquet(tmp_path / "curves.parquet")
    first = training_curves(tmp_path / "curves.parquet").groupby("run_id")["n_tokens"].min()
    assert 60e3 <= first["warmed"] < 62e3
    assert 10e3 <= first["plain"] < 12e3
