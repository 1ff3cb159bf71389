"""Accuracies of named benchmarks in the section on emergence."""

import numpy as np
import pandas as pd

from analysis.emergence.abilities import abilities
from analysis.emergence.study import study_all
from analysis.sections.emergence import emergence_section


def test_a_benchmark_s_accuracy_is_drawn_once_with_its_chance() -> None:
    rows = [
        {
            "run_id": f"r{i}", "step": 9, "n_params": n, "n_tokens": 1e6, "flops": 6e6 * n,
            "loss": 2.0 - i / 9, "task": "arc_easy", "operands": "", "format": "lm_eval",
            "n_shots": 5, "split": "test", "target_length": None, "position": None,
            "n_first": None, "metric": metric, "value": 0.25 + 0.1 * i, "ci_low": 0.2 + 0.1 * i,
            "ci_high": 0.3 + 0.1 * i, "n_items": 400, "chance": 0.25,
        }
        for i, n in enumerate(np.geomspace(1e4, 1e6, 5)) for metric in ("acc", "acc_norm")
    ]  # fmt: skip
    runs = pd.DataFrame([{"run_id": f"r{i}", "seed": 0} for i in range(5)])
    section = emergence_section(study_all(abilities(pd.DataFrame(rows), runs)))
    figure = section.figures[0].figure
    assert [axes.get_ylabel() for axes in figure.axes] == ["acc", "acc (log)"]
    for axes in figure.axes:
        assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "-."] == [
            0.25
        ]
    assert "arc_easy" in section.figures[0].caption
    assert "acc and acc" not in section.figures[0].caption
