"""A rule that was fitted: optim.rule=fitted:DIR becomes its laws, written out in the rule's name.

`laws:lr=1.79*N^-0.713*D^0.307;batch=0.58*D^0.571` says all that a run needs, so that neither a job
nor a stored spec depends on DIR.
"""

import json
from pathlib import Path
from typing import Any

from train.config.errors import SpecError
from train.config.hyperparameters import LAWS

FITTED = "fitted:"


def with_fitted_rules(values: Any) -> Any:
    """Nested values of a configuration with each rule fitted:DIR replaced by its laws.

    Raises:
        SpecError: DIR holds no fitted law of a learning rate.
    """
    if isinstance(values, dict):
        return {
            key: laws_of(Path(value.removeprefix(FITTED)))
            if key == "rule" and isinstance(value, str) and value.startswith(FITTED)
            else with_fitted_rules(value)
            for key, value in values.items()
        }
    return values


def laws_of(place: Path) -> str:
    """The laws of a tuning sweep's report as a rule.

    Args:
        place: The sweep's directory, that of its report, or a fits.json.

    Raises:
        SpecError: There is no report, or it has no law of the learning rate.
    """
    paths = (place / "analysis" / "fits.json", place / "fits.json", place)
    path = next((one for one in paths if one.is_file()), None)
    if path is None:
        raise SpecError(
            f"optim.rule={FITTED}{place}: no fits.json there; fit it first: isoflop analyze {place}"
        )
    try:
        tuning = json.loads(path.read_text(encoding="utf-8"))["tuning"]
        missing = tuning["missing"]
        laws = {name: tuning[name] for name in ("lr", "batch") if name in tuning}
        if "lr" not in laws:
            reason = missing.get("lr", "the learning rate was not swept")
            raise SpecError(f"optim.rule={FITTED}{place}: no law of the learning rate: {reason}")
        if not tuning["batch_in_tokens"]:
            laws.pop("batch", None)
        written = [
            f"{name}={law['coefficient']:.8g}*N^{law['n_exponent']:.6g}*D^{law['d_exponent']:.6g}"
            for name, law in laws.items()
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(
            f"optim.rule={FITTED}{place}: {path} holds no tuning "
            f"({type(error).__name__}: {error}); analyze a sweep over learning rates"
        ) from error
    return LAWS + ";".join(written)
