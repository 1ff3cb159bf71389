"""Bits per byte by domain in the report: a figure over N, D and C, and each domain's best model."""

import math

import pandas as pd
import pytest

from analysis.sections.text_loss import text_comparison, text_sections


def test_each_domain_is_drawn_and_its_best_model_named() -> None:
    runs = pd.DataFrame([{"run_id": f"r{i}", "seed": 0} for i in range(3)])
    rows = [
        {
            "run_id": f"r{i}", "step": step, "n_params": 10.0 ** (4 + i), "n_tokens": 1e6,
            "flops": 6e10 * 10**i, "loss": 1.0, "task": task, "operands": domain,
            "format": "context 64, stride 32", "n_shots": 0, "split": "test",
            "target_length": None, "position": None, "n_first": None, "metric": "bits_per_byte",
            "value": value + (step == 50), "ci_low": value - 0.1 if i else None,
            "ci_high": value + 0.1 if i else None, "n_items": 7, "chance": None,
        }
        for task in ("text", "addition-3")
        for step in (50, 100)
        for domain, values in {"law": (3, 2, 2.5), "code": (2, 1.5, 1.25)}.items()
        for i, value in enumerate(values)
    ]  # fmt: skip
    (section,) = text_sections(pd.DataFrame(rows), runs)
    best = {row[0]: row[1:5] for row in section.tables[0].rows}
    assert best == {
        "law": ["7", "2.0000", "1.9000 to 2.1000", "100k"],
        "code": ["7", "1.2500", "1.1500 to 1.3500", "1M"],
    }
    panels = section.figures[0].figure.axes
    assert [axes.get_xlabel() for axes in panels] == [
        "parameters N", "training tokens D", "training FLOPs C",
    ]  # fmt: skip
    assert [line.get_ydata().tolist() for line in panels[0].lines[-1:]] == [[2, 1.5, 1.25]]
    assert text_sections(pd.DataFrame(rows[6:]), runs)[0].tables
    assert text_sections(pd.DataFrame(rows[12:]), runs) == []
    section.figures[0].figure.canvas.draw()


def test_two_sweeps_are_compared_domain_by_domain() -> None:
    def evals(values: dict[str, tuple[float, ...]], form: str = "context 64") -> pd.DataFrame:
        return pd.DataFrame([
            {
                "run_id": f"r{i}", "step": 100, "n_params": 10.0 ** (4 + i), "n_tokens": 1e6,
                "flops": 1e10, "loss": 1.0, "task": "text", "operands": domain, "format": form,
                "n_shots": 0, "split": "test", "target_length": None, "position": None,
                "n_first": None, "metric": "bits_per_byte", "value": value,
                "ci_low": value - 0.3, "ci_high": value + 0.4, "n_items": 7, "chance": None,
            }
            for domain, found in values.items() for i, value in enumerate(found)
        ])  # fmt: skip

    runs = pd.DataFrame([{"run_id": f"r{i}", "seed": 0} for i in range(2)])
    ours = evals({"law": (2.0, 1.5), "code": (1.0, 1.4), "own": (1.0,)})
    theirs = evals({"law": (2.5,), "code": (0.75,)})
    (section,) = text_comparison(("a", "b"), [(ours, runs), (theirs, runs)])
    half = math.hypot(0.3, 0.4)
    assert [row[:4] for row in section.tables[0].rows] == [
        ["law", "1.5000", "2.5000", "-1.0000"],
        ["code", "1.0000", "0.7500", "+0.2500"],
    ]
    assert section.tables[0].rows[0][4:] == [f"{-1 - half:+.4f} to {-1 + half:+.4f}", "100k", "10k"]
    assert "In one sweep alone: own." in section.paragraphs[0]
    (axes,) = section.figures[0].figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([-1.0, 0.25])
    section.figures[0].figure.canvas.draw()
    assert text_comparison(("a", "b"), [(ours, runs), (evals({"law": (2,)}, "other"), runs)]) == []
    assert text_comparison(("a", "b"), [(ours, runs), (pd.DataFrame(), runs)]) == []
