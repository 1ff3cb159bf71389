"""Units of the columns: set by the user, stated in a header, or suspected from the numbers.

Parameters in millions beside tokens in billions fit as smoothly as the right ones and lead to
nonsense, so numbers that no training run has are a question to the user, never a guess.
"""

from collections.abc import Mapping

import numpy as np

from analysis.data.reading.names import LOSS_UNITS
from analysis.data.table_error import TableError

FACTORS = {
    "ones": 1.0, "thousands": 1e3, "millions": 1e6, "billions": 1e9, "trillions": 1e12,
    "tokens": 1.0, "params": 1.0, "parameters": 1.0, "flops": 1.0, "pf-days": 8.64e19,
    "petaflops": 1e15, "exaflops": 1e18, "zettaflops": 1e21,
}  # fmt: skip

FEWEST_PARAMS, FEWEST_TOKENS = 100.0, 1e4
LEAST_RATIO, MOST_RATIO = 0.1, 1e5
"""Medians of N, D and D/N below or above which no table of trainings is known. The tables tried
have medians of D/N from 3 to 300; models of some thousand parameters reach 1e4."""

MOST_LOSS = 8.0
"""Median above which a loss is no nats per token: a uniform guess among 50,000 tokens has 10.8."""


MOST_OVER_USUAL = 2.0
"""Median of the loss over that of Hoffmann et al.'s law; the tables tried have .9 to 1.8."""


def factor(field: str, unit: str) -> float:
    """The factor of a count's unit: a word of `FACTORS` or a number.

    Raises:
        TableError: Neither.
    """
    name = str(unit).strip().lower()
    if name in FACTORS:
        return FACTORS[name]
    try:
        value = float(name)
    except ValueError:
        value = 0.0
    if not (np.isfinite(value) and value > 0):
        raise TableError(
            f"table.units: {field}={unit!r} is no unit; expected a number or one of "
            f"{', '.join(FACTORS)}"
        )
    return value


def loss_in_nats(loss: np.ndarray, unit: str) -> np.ndarray:
    """Losses in nats from nats, bits or perplexity.

    Raises:
        TableError: Another unit.
    """
    name = LOSS_UNITS.get(str(unit).strip().lower())
    if name is None:
        raise TableError(f"table.units: loss={unit!r} is no unit; expected nats, bits, perplexity")
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"nats": loss, "bits": loss * np.log(2), "perplexity": np.log(loss)}[name]


def in_base_units(field: str, values: np.ndarray, unit: str) -> np.ndarray:
    """Values of a field in its base unit: ones, or nats; "" for a unit that is the base."""
    if not unit:
        return values
    return loss_in_nats(values, unit) if field == "loss" else values * factor(field, unit)


def suspicion(numbers: Mapping[str, np.ndarray], known: frozenset[str]) -> str:
    """Why a table's numbers look like other units than they are taken for; "" for no suspicion.

    Args:
        numbers: n_params, n_tokens, loss and, where the table has them, flops and the
            n_params_active that they are of; arrays (runs,).
        known: Fields whose unit the user or the header states; they are never suspected.
    """
    n, d, loss = (_positive(numbers[name]) for name in ("n_params", "n_tokens", "loss"))
    if "loss" not in known and len(loss) and _too_high(numbers, known):
        return _asked(
            f"loss is {loss.min():.4g} to {loss.max():.4g}, too much for nats per token",
            "perplexity",
            {"loss": "perplexity"},
            {"loss": "nats"},
        )
    if not len(n) or not len(d):
        return ""
    free = [name for name in ("n_params", "n_tokens") if name not in known]
    both = np.asarray(numbers["n_tokens"]) / np.asarray(numbers["n_params"])
    ratio = float(np.median(_positive(both))) if len(_positive(both)) else float("nan")
    size, length = float(np.median(n)), float(np.median(d))
    if free and not _plausible(size, length, ratio):
        return _of_counts(size, length, ratio, numbers, free)
    return _of_flops(numbers, known, free)


def _too_high(numbers: Mapping[str, np.ndarray], known: frozenset[str]) -> bool:
    """Whether the median loss is no nats per token, at all or for such models and tokens."""
    if np.median(_positive(numbers["loss"])) > MOST_LOSS:
        return True
    return _over_usual(numbers, 1.0, 1.0) > MOST_OVER_USUAL


def _over_usual(numbers: Mapping[str, np.ndarray], n_scale: float, d_scale: float) -> float:
    """Median of the loss over that of Hoffmann et al. 2022, approach 3, with N and D scaled."""
    n, d, loss = (np.asarray(numbers[name], float) for name in ("n_params", "n_tokens", "loss"))
    with np.errstate(all="ignore"):
        usual = 1.69 + 406.4 / (n * n_scale) ** 0.34 + 410.7 / (d * d_scale) ** 0.28
        ratios = _positive(loss / usual)
    return float(np.median(ratios)) if len(ratios) else float("nan")


def _plausible(size: float, length: float, ratio: float) -> bool:
    if not np.isfinite(ratio):
        return True
    return size >= FEWEST_PARAMS and length >= FEWEST_TOKENS and LEAST_RATIO <= ratio <= MOST_RATIO


def _of_counts(
    size: float, length: float, ratio: float, numbers: Mapping[str, np.ndarray], free: list[str]
) -> str:
    """The least change of units that makes the medians plausible: near 20 tokens per parameter, and
    near the loss that such models usually reach.
    """
    n, d = _positive(numbers["n_params"]), _positive(numbers["n_tokens"])
    scales = {1.0: "", 1e3: "thousands", 1e6: "millions", 1e9: "billions", 1e12: "trillions"}
    tried = [
        (s, t)
        for s in (scales if "n_params" in free else [1.0])
        for t in (scales if "n_tokens" in free else [1.0])
        if (s, t) != (1.0, 1.0)
        # Sizes beyond 1e13 and tokens beyond 1e15 were never trained.
        and size * s < 1e13 and length * t < 1e15
        and size * s >= 1e5 and length * t >= 1e6
        and _plausible(size * s, length * t, ratio * t / s)
    ]  # fmt: skip
    what = (
        f"n_params is {n.min():.4g} to {n.max():.4g} and n_tokens {d.min():.4g} to {d.max():.4g}, "
        f"{ratio:.3g} tokens per parameter"
    )
    ones = dict.fromkeys(free, "ones")
    if not tried:
        return _asked(what, "", {free[0]: "millions"}, ones)
    # Millions and billions are what people write; thousands and trillions are tried after them.
    s, t = min(
        tried,
        key=lambda pair: (
            sum(scale != 1 for scale in pair),
            sum(scale in (1e3, 1e12) for scale in pair),
            abs(np.log(ratio * pair[1] / pair[0] / 20))
            + 10 * abs(np.log(_over_usual(numbers, *pair))),
        ),
    )
    set_to = {
        name: scales[scale]
        for name, scale in (("n_params", s), ("n_tokens", t))
        if scale != 1
    }  # fmt: skip
    return _asked(what, " and ".join(f"{k} in {v}" for k, v in set_to.items()), set_to, ones)


def _of_flops(numbers: Mapping[str, np.ndarray], known: frozenset[str], free: list[str]) -> str:
    """FLOPs that are a power of 1,000 (or PF-days) off 6 N D, N being what a token meets."""
    if "flops" not in numbers or "flops" in known:
        return ""
    met = "n_params_active" if "n_params_active" in numbers else "n_params"
    n, d, c = (np.asarray(numbers[name], dtype=float) for name in (met, "n_tokens", "flops"))
    ratio = _positive(c / (6 * n * d))
    if not len(ratio):
        return ""
    off = float(np.log10(np.median(ratio)))
    what = f"flops are {np.median(ratio):.3g} times 6 N D (median)"
    if abs(off + np.log10(8.64e19)) < 0.4:
        return _asked(what, "flops in PF-days", {"flops": "pf-days"}, {"flops": "ones"})
    thousands = round(off / 3)
    if thousands == 0 or abs(off - 3 * thousands) > 0.5:
        return ""
    if thousands < 0:
        set_to = {"flops": f"1e{-3 * thousands}"}
        return _asked(what, f"flops in 1e{-3 * thousands}", set_to, {"flops": "ones"})
    name = free[0] if free else "flops"
    return _asked(what, f"{name} in 1e{3 * thousands}", {name: f"1e{3 * thousands}"},
                  {"flops": "ones"})  # fmt: skip


def _asked(what: str, likely: str, set_to: Mapping[str, str], as_is: Mapping[str, str]) -> str:
    def setting(values: Mapping[str, str]) -> str:
        return "'table.units={" + ", ".join(f"{k}: {v}" for k, v in values.items()) + "}'"

    guess = f"; likely {likely}" if likely else ""
    return f"{what}{guess}. If so, set {setting(set_to)}; if not, {setting(as_is)}"


def _positive(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values) & (values > 0)]
