"""What competes in a rolling hold-out: every form under every objective, as one kind of thing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.data.run_arrays import FitInput
from analysis.errors import FitError
from analysis.fits.data_constrained import FEWEST_REPEATED, REPEATED
from analysis.fits.forms.form import FORMS, OBJECTIVES, Form, fit_form
from analysis.fits.parametric.huber import Penalty
from analysis.studies.approaches.repeated import RepeatedApproach
from analysis.studies.fit_config import FitConfig

Predict = Callable[[FitInput], np.ndarray]
"""Runs to their predicted losses, (runs,)."""


@dataclass(frozen=True)
class Candidate:
    """A form under an objective; `fit` raises FitError where some runs do not determine it."""

    form: str
    objective: str
    fit: Callable[[FitInput], Predict]

    @property
    def name(self) -> str:
        return f"{self.form}, {self.objective}"


DATA_CONSTRAINED = "data-constrained"


def candidates(data: FitInput, config: FitConfig) -> list[Candidate]:
    """Every form under every objective; with the data-constrained law where runs repeat data."""
    found = [
        Candidate(form.name, objective, _fitting(form, penalty))
        for form in FORMS
        for objective, penalty in OBJECTIVES.items()
    ]
    if data.epochs is not None and (data.epochs > REPEATED).sum() >= FEWEST_REPEATED:
        found.append(
            Candidate(DATA_CONSTRAINED, "Huber, log", lambda runs: _repeated(runs, config))
        )
    return found


def _fitting(form: Form, penalty: Penalty) -> Callable[[FitInput], Predict]:
    def fit(data: FitInput) -> Predict:
        runs = data.runs
        law = fit_form(form, runs.n_params, runs.n_tokens, runs.loss, penalty)
        return lambda other: np.asarray(law(other.runs.n_params, other.runs.n_tokens))

    return fit


def _repeated(data: FitInput, config: FitConfig) -> Predict:
    law = RepeatedApproach.fitted(data, config).law

    def predict(other: FitInput) -> np.ndarray:
        if other.epochs is None:
            raise FitError("the runs do not say how often they saw their tokens")
        epochs = np.maximum(other.epochs, 1)
        return np.asarray(law.loss(other.runs.n_params, other.runs.n_tokens, epochs))

    return predict
