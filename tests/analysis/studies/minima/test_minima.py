"""Laws from minima alone: tables of optima, and runs on one line."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import COMMAND as ANALYZE
from analysis.data.reading.optima import read_optima
from analysis.data.table_error import TableError
from analysis.errors import FitError
from analysis.fits.surface import Surface
from analysis.format import count_label
from analysis.optima import COMMAND
from analysis.studies.minima.line import fit_losses
from analysis.studies.minima.optima import fit_optima
from train.commands.command_line import run_command

SURFACE = Surface(1.7, 400.0, 410.0, 0.34, 0.28)
BUDGETS = np.geomspace(1e18, 1e22, 7)

TABLE_3 = """n_opt,flops,tokens
400M,1.92e19,8.0B
1B,1.21e20,20.2B
10B,1.23e22,205.1B
67B,5.76e23,1.5T
175B,3.85e24,3.7T
280B,9.90e24,5.9T
520B,3.43e25,11.0T
1T,1.27e26,21.2T
10T,1.30e28,216.2T
"""
"""Hoffmann et al. 2022, table 3, by their approach 1."""


def run(command, *words):
    with pytest.raises(SystemExit) as stopped:
        run_command(command, list(words), f"isoflop {command.name}")
    return stopped.value.code


def test_exact_optima_give_the_surfaces_exponents_and_its_irreducible_loss():
    best = SURFACE.optimal(BUDGETS)
    made = fit_optima(BUDGETS, best.n_params, best.n_tokens, best.loss)
    assert made.n_law.exponent == pytest.approx(SURFACE.a, rel=1e-9)
    assert made.d_law.exponent == pytest.approx(SURFACE.b, rel=1e-9)
    assert made.loss is not None and made.objections == ()
    assert made.loss.irreducible_loss[0] == pytest.approx(1.7, rel=1e-3)
    assert made.loss.exponent[0] == pytest.approx(float(SURFACE.alpha * SURFACE.a), rel=1e-2)
    far = made.optimal(1e24)
    assert far.n_opt == pytest.approx(float(SURFACE.optimal(1e24).n_params), rel=1e-6)
    assert far.beyond == pytest.approx(100) and made.optimal(1e20).beyond == 1


def test_table_3_of_hoffmann_et_al(tmp_path, capsys):
    path = tmp_path / "optima.csv"
    path.write_text(TABLE_3)
    assert run(COMMAND, str(path), "flops=[5.76e23,1e30]", f"out={tmp_path / 'out'}") == 0
    printed = capsys.readouterr().out
    assert "N_opt ~ C^0.498 (0.497 to 0.499)" in printed
    assert "With 1e30 FLOPs, train " in printed
    assert "(an extrapolation beyond the optima, in C by 77 times)." in printed
    found = json.loads((tmp_path / "out/fits.json").read_text())["optima"]
    assert found["b"] == pytest.approx(0.502, abs=0.001)
    near, far = found["allocation"]
    size = count_label(near["n_opt"])
    assert f"With 5.76e23 FLOPs, train {size} parameters (95 % interval " in printed
    assert near["n_opt"] == pytest.approx(67e9, rel=0.03) and near["beyond"] == 1
    assert far["beyond"] == pytest.approx(1e30 / 1.3e28)
    assert "has no losses" in found["loss_reason"]
    assert "Laws through the optima" in (tmp_path / "out/report.html").read_text()


def test_optima_that_do_not_make_a_law_give_no_size(tmp_path):
    falling = fit_optima(BUDGETS, BUDGETS**-0.2 * 1e12, BUDGETS**1.2)
    assert "lies outside (0, 1)" in falling.objections[0]
    with pytest.raises(FitError, match=r"2 budget\(s\); laws through optima need 3"):
        fit_optima(BUDGETS[:2], BUDGETS[:2] ** 0.5, BUDGETS[:2] ** 0.5)
    path = tmp_path / "optima.csv"
    path.write_text("C,colour\n1e18,red\n1e19,blue\n")
    with pytest.raises(TableError, match="needs two of flops, n_opt and d_opt; got C, colour"):
        read_optima(path)
    path.write_text("N,D\n1B,2e10\n0,3e10\n")
    with pytest.raises(TableError, match=r"row 2 has flops=0.0; expected positive finite"):
        read_optima(path)
    path.write_text("N,D\n1B,2e10\n2B,4e10\n")
    assert read_optima(path)["flops"] == pytest.approx([1.2e20, 4.8e20])


def line(n_runs: int = 12, noise: float = 0.003) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = np.geomspace(1e8, 1e10, n_runs)
    shaken = np.exp(noise * np.random.default_rng(0).normal(size=n_runs))
    return n, 20 * n, np.asarray(SURFACE.loss(n, 20 * n)) * shaken


def test_losses_on_a_line_are_predicted_to_ten_times_the_compute_and_no_farther():
    n, d, loss = line()
    made = fit_losses(6 * n * d, loss)
    for factor in (1, 10):
        truth = float(SURFACE.loss(1e10 * factor**0.5, 2e11 * factor**0.5))
        value, (low, high) = made.loss(1.2e22 * factor)
        assert low < truth < high and value == pytest.approx(truth, rel=0.02)
    with pytest.raises(FitError, match="more than 10 times beyond the runs"):
        made.loss(1.3e23)
    with pytest.raises(FitError, match="4 runs; a law of the loss with its scatter needs 5"):
        fit_losses(6 * (n * d)[:4], loss[:4])


def test_losses_that_rise_or_scatter_give_no_number():
    n, d, loss = line()
    with pytest.raises(FitError, match="do not fall with compute"):
        fit_losses(6 * n * d, loss[::-1]).loss(1e20)
    noisy = line(noise=0.3)[2]
    assert "it misses its own runs by" in fit_losses(6 * n * d, noisy).objection


def test_a_table_on_one_line_gets_its_section_and_still_no_size(tmp_path, capsys):
    n, d, loss = line()
    pd.DataFrame({"n_params": n, "n_tokens": d, "loss": loss}).to_csv(
        tmp_path / "runs.csv", index=False
    )
    words = [str(tmp_path / "runs.csv"), "fit.n_resamples=0", "allocation.flops=[1e22,1e25]",
             f"out={tmp_path / 'out'}"]  # fmt: skip
    assert run(ANALYZE, *words) == 0
    said = capsys.readouterr().out
    assert "These runs do not determine a compute-optimal size" in said
    assert "N_opt is not determined: on one line" in said
    found = json.loads((tmp_path / "out/fits.json").read_text())["line"]
    near, far = found["losses"]
    assert near["interval"][0] < near["loss"] < near["interval"][1]
    assert "10 times beyond the runs" in far["reason"]
    assert "The loss along one line" in (tmp_path / "out/report.html").read_text()


def test_sparsity_levels_of_experts_are_fitted_apart_on_active_parameters(tmp_path):
    """Approach 2 by level: each has the exponent of its own surface."""
    rows = []
    for sparsity, shift in ((0.0, 1.0), (0.75, 0.8), (0.9, 0.7)):
        surface = Surface(1.7, 400.0 * shift, 410.0, 0.34, 0.28)
        for budget in np.geomspace(1e18, 1e20, 3):
            best = float(surface.optimal(budget).n_params)
            for factor in np.geomspace(0.25, 4, 7):
                active = best * factor
                d = budget / (6 * active)
                rows.append((sparsity, active, active / (1 - sparsity), d,
                             float(surface.loss(active, d)), budget))  # fmt: skip
    columns = ["sparsity", "active_params", "total_params", "n_tokens", "loss", "flops_budget"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "moe.csv", index=False)
    words = [str(tmp_path / "moe.csv"), "fit.by=sparsity", "fit.n_resamples=0",
             "table.columns={n_params: active_params}", "fit.approaches=[isoflop]",
             f"out={tmp_path / 'out'}"]  # fmt: skip
    assert run(ANALYZE, *words) == 0
    values = json.loads((tmp_path / "out/fits.json").read_text())["values"]
    assert len(values) == 3
    for fits in values.values():
        assert fits["isoflop"]["a"] == pytest.approx(SURFACE.a, abs=0.01)
