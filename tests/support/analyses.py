"""Analyses without a command line: a configuration, its fits, a table of a known surface."""

import json

import numpy as np
import pandas as pd

from analysis.__main__ import COMMAND, fitted
from analysis.config import AnalysisConfig
from analysis.fits.surface import Surface
from analysis.studies.fits_json import fits_json
from train.commands.command_line import translate
from train.config.cli import load_config

DRAWN = Surface(1.7, 400.0, 410.0, 0.34, 0.28)


def config(*overrides):
    return load_config("analysis", translate(COMMAND, overrides).overrides, AnalysisConfig)


def fits_of(*overrides):
    """fits.json's content, by way of JSON, without drawing a report."""
    _, study, advice = fitted(config(*overrides))
    return json.loads(json.dumps(fits_json(study, advice), allow_nan=False))


def write_table(path, n_runs=60, noise=0.0, surface=DRAWN):
    """A csv of runs of a known surface; returns its path."""
    rng = np.random.default_rng(0)
    n_params = 10 ** rng.uniform(7, 10, n_runs)
    n_tokens = n_params * 10 ** rng.uniform(0, 2.5, n_runs)
    loss = surface.loss(n_params, n_tokens) * np.exp(rng.normal(0, noise, n_runs))
    frame = pd.DataFrame({"n_params": n_params, "flops": 6 * n_params * n_tokens, "loss": loss})
    frame.to_csv(path, index=False)
    return path
