import numpy as np
import pandas as pd
import pytest
from scipy.spatial import ConvexHull

from analysis.data.run_arrays import Curves
from analysis.errors import FitError
from analysis.fits.envelope import (
    CurveGrid,
    best_points,
    bin_edges,
    fit_envelope,
    laws_through,
    lower_hull,
    outline,
)
from analysis.fits.surface import Surface
from tests.support.published import published_table

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def curves_of(sizes):
    parts = []
    for run, n_params in enumerate(sizes):
        n_tokens = np.geomspace(1e8, 1e12, 400)
        parts.append((np.full(400, run), np.full(400, n_params), n_tokens, 6 * n_params * n_tokens))
    run, n_params, n_tokens, flops = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Curves(run, n_params, n_tokens, flops, SURFACE.loss(n_params, n_tokens))


def test_published_hull():
    frame = pd.read_csv(published_table("gemstones"))
    frame["code"] = frame["run"].astype("category").cat.codes
    frame = frame.sort_values(["code", "flops"])
    columns = [frame[c].to_numpy(float) for c in ("n_params", "n_tokens", "flops", "loss")]
    fit = fit_envelope(Curves(frame["code"].to_numpy(), *columns), "hull")
    assert len(fit.flops) == 21
    assert fit.a == pytest.approx(0.499380, abs=5e-7)
    assert fit.b == pytest.approx(0.480989, abs=5e-7)


@pytest.mark.parametrize("method", ["bins", "hull"])
def test_the_exponents_of_a_surface_are_recovered(method):
    fit = fit_envelope(curves_of(np.geomspace(1e7, 1e11, 60)), method)
    inner = (fit.flops > 1e18) & (fit.flops < 1e22)
    slope = np.polyfit(np.log(fit.flops[inner]), np.log(fit.n_params[inner]), 1)[0]
    assert slope == pytest.approx(SURFACE.a, abs=0.01)


def test_the_envelope_never_rises_and_lies_below_every_curve():
    curves = curves_of(np.geomspace(1e7, 1e11, 7))
    fit = fit_envelope(curves)
    assert (np.diff(fit.loss) <= 0).all()
    for run in range(7):
        own = curves.run == run
        there = (fit.flops > curves.flops[own].min()) & (fit.flops < curves.flops[own].max())
        at = np.interp(np.log(fit.flops[there]), np.log(curves.flops[own]), curves.loss[own])
        assert (fit.loss[there] <= at + 1e-9).all()


def test_hull_is_scipys_lower_hull():
    rng = np.random.default_rng(0)
    for n in (12, 20_000):
        x = rng.normal(size=n)
        y = np.abs(x) ** 1.5 + rng.uniform(0, 3, n)
        ours = lower_hull(x, y)
        vertices = ConvexHull(np.stack([x, y], axis=1)).vertices
        first, last = vertices[x[vertices].argmin()], vertices[x[vertices].argmax()]
        chord = y[first] + (x - x[first]) * (y[last] - y[first]) / (x[last] - x[first])
        expected = {int(v) for v in vertices if y[v] <= chord[v] + 1e-12}
        assert set(ours.tolist()) == expected


def test_resampled_exponents_use_the_present_runs_alone():
    curves = curves_of(np.geomspace(1e7, 1e11, 30))
    grid = bin_edges(curves)
    curve_grid = CurveGrid.of(curves, grid)
    everything = fit_envelope(curves)
    a, log_k, b, _ = laws_through(best_points(grid, curve_grid, np.ones(30, bool)))
    assert (a, b) == pytest.approx((everything.a, everything.b))
    assert np.exp(log_k) == pytest.approx(everything.n_law.coefficient)
    half = np.arange(30) % 2 == 0
    rows = np.flatnonzero(half[curves.run])
    part = curves.take(rows)
    alone = CurveGrid.of(
        Curves(part.run // 2, part.n_params, part.n_tokens, part.flops, part.loss), grid
    )
    ours = best_points(grid, curve_grid, half)
    theirs = best_points(grid, alone, np.ones(15, bool))
    assert laws_through(ours) == pytest.approx(laws_through(theirs))
    sizes = part.n_params
    assert outline(ours, sizes)[1] == pytest.approx(outline(theirs, sizes)[1])


def test_an_outline_follows_the_envelope_between_the_extreme_sizes():
    sizes = np.geomspace(1e7, 1e11, 30)
    fit = fit_envelope(curves_of(sizes))
    flops, loss = outline(fit.points, sizes)
    led = fit.flops[(fit.n_params > 1.1e7) & (fit.n_params < 0.9e11)]
    assert (flops[0], flops[-1]) == pytest.approx((led[0], led[-1]))
    inside = np.interp(np.log(flops), np.log(fit.flops), np.log(fit.loss))
    assert np.log(loss) == pytest.approx(inside)
    assert np.isnan(outline(fit.points.take(np.array([0])), sizes)[1]).all()


def test_one_size_is_degenerate_and_no_points_an_error():
    fit = fit_envelope(curves_of([1e8]))
    assert fit.status == "degenerate"
    assert np.isnan(fit.a)
    with pytest.raises(FitError, match="no training curves"):
        fit_envelope(curves_of([1e8]).take(np.array([], int)))
