"""Emergence made on purpose (Schaeffer et al. 2023, section 5), in one command:

    python -m eval.induced [dataset=digits] [data_dir=DIR] [seeds=3] [out=results/induced]

An autoencoder, a convolutional classifier and an autoregressive transformer over images are trained
at several widths. Each is measured by a sharp metric and a smooth one of the same outputs; the
scores are written as a table that `table=` reads, beside one figure each.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analysis.emergence.score import chance_null, emergence_score, mean_by
from eval.induced.datasets import DATASETS, Images, load_images
from eval.induced.files import IDX_FILES, InducedError
from eval.induced.models import autoencoder, classifier, transformer
from eval.induced.records import Experiment, Score
from train.commands.terminal import say
from train.config.spec import IsoflopError
from train.rundir.atomic import write_atomic, write_json

EXPERIMENTS = (
    Experiment(
        name="autoencoder",
        title="Autoencoder: reconstruction within c",
        run=autoencoder,
        widths=(1, 2, 4, 8, 12, 16, 24, 32, 48),
        n_steps=1500,
        parameter=0.01,
        sharp="within_c",
        smooth="squared_error",
        scale="bottleneck width",
    ),
    Experiment(
        name="classifier",
        title="Convolutional classifier: all of k right",
        run=classifier,
        widths=(1, 2, 3, 4, 6, 8, 12, 16),
        n_steps=300,
        parameter=30,
        sharp="all_of_k",
        smooth="accuracy",
        scale="channels",
    ),
    Experiment(
        name="transformer",
        title="Autoregressive transformer: all of k labels right",
        run=transformer,
        widths=(2, 3, 4, 6, 8, 12, 16, 24),
        n_steps=300,
        parameter=10,
        sharp="all_of_k",
        smooth="accuracy",
        scale="model width",
    ),
)


def run_experiment(experiment: Experiment, images: Images, seeds: int) -> Iterator[Score]:
    """Train every width with every seed and yield each metric of each."""
    for width in experiment.widths:
        for seed in range(seeds):
            found = experiment.run(images, width, seed, experiment.n_steps, experiment.parameter)
            for metric, value in found.items():
                yield Score(experiment.name, width, seed, metric, value)


def summarise(experiment: Experiment, scores: list[Score]) -> dict[str, Any]:
    """Emergence score of the seed mean with its chance null, for both metrics."""
    found: dict[str, Any] = {"parameter": experiment.parameter, "scale": experiment.scale}
    for metric in (experiment.sharp, experiment.smooth):
        own = [score for score in scores if score.metric == metric]
        x, y = mean_by([score.width for score in own], [score.value for score in own])
        null = chance_null(x, y)
        score = emergence_score(x, y)
        found[metric] = {
            "emergence_score": score if np.isfinite(score) else str(score),
            "noise_median": null.median,
            "noise_q95": null.q95,
            "p_value": null.p_value,
            "range": [float(y.min()), float(y.max())],
        }
    return found


def write_scores(path: Path, scores: list[Score], dataset: str) -> None:
    """The table `model, scale, task, metric, value, seed`, which `table=` accepts."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["model", "scale", "task", "metric", "value", "seed"])
    for s in scores:
        model = f"{s.experiment}-{s.width}-seed{s.seed}"
        writer.writerow([model, s.width, f"{s.experiment} {dataset}", s.metric, s.value, s.seed])
    write_atomic(path, text.getvalue())


def run_all(dataset: str, data_dir: Path, out: Path, seeds: int) -> dict[str, Any]:
    """Every experiment: table, figures and summary under `out`; returns the summary."""
    from analysis.figures.induced import save_figure

    images = load_images(dataset, data_dir)
    everything: list[Score] = []
    summary: dict[str, Any] = {"dataset": dataset, "seeds": seeds}
    for experiment in EXPERIMENTS:
        print(f"{experiment.name}: {len(experiment.widths)} widths x {seeds} seeds", flush=True)
        scores = list(run_experiment(experiment, images, seeds))
        summary[experiment.name] = summarise(experiment, scores)
        save_figure(experiment, scores, summary[experiment.name], out)
        everything += scores
    write_scores(out / "scores.csv", everything, dataset)
    write_json(out / "induced.json", summary)
    return summary


def main(argv: list[str] | None = None) -> None:
    """Parse `key=value` arguments, run, print a line a metric and where everything lies."""
    import torch

    try:
        settings = _settings(argv)
        torch.set_num_threads(settings["threads"])
        out = Path(settings["out"])
        data_dir = Path(settings["data_dir"])
        summary = run_all(settings["dataset"], data_dir, out, settings["seeds"])
    except IsoflopError as error:
        say(f"eval.induced: {error}", sys.stderr)
        sys.exit(2)
    for experiment in EXPERIMENTS:
        for metric in (experiment.sharp, experiment.smooth):
            print(f"{experiment.name} {metric}: {json.dumps(summary[experiment.name][metric])}")
    print(out)


def _settings(argv: list[str] | None) -> dict[str, Any]:
    """Defaults overridden by `key=value` arguments.

    Raises:  InducedError: an unknown key, or a value of the wrong type.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eval.induced",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"dataset: {', '.join(DATASETS)}; data_dir: where its files lie "
        f"(mnist, fashion_mnist, idx: {', '.join(IDX_FILES)}, also .gz; omniglot: a folder of "
        f"pictures per class; cifar100: torchvision's)",
    )
    parser.add_argument("settings", nargs="*", metavar="key=value")
    settings: dict[str, Any] = {
        "dataset": "digits",
        "seeds": 3,
        "out": "results/induced",
        "data_dir": "data",
        "threads": 1,
    }
    for argument in parser.parse_args(argv).settings:
        key, given, value = argument.partition("=")
        if key not in settings or not given:
            raise InducedError(
                f"{argument!r} is unknown; expected {', '.join(settings)} as key=value"
            )
        numeric = isinstance(settings[key], int)
        if numeric and not (value.isdigit() and int(value) >= 1):
            raise InducedError(f"{key}={value} must be a whole number of at least 1")
        settings[key] = int(value) if numeric else value
    return settings


if __name__ == "__main__":
    main()
