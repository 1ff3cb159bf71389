"""Bits per byte by domain in the report: a figure over N, D and C, and each domain's best model."""

import pandas as pd

from analysis.sections.text_loss import text_sections


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
