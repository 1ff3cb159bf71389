"""Numbers and intervals as people write them."""

import numpy as np


def number(value: float, digits: int = 3) -> str:
    """A number as people write it: 1.23e+12 as 1.23e12, thousands as 12.3k, small ones plainly."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else ("∞" if value > 0 else "-∞")
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return (
            f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
        )
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def count_label(value: float) -> str:
    """A count with a unit: 1.3k, 25M, 7B, 1.2T."""
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return number(value, 3) if value >= 1e15 else f"{value / scale:.3g}{unit}"
    return f"{value:.3g}"


def span(interval: tuple[float, float] | None, digits: int = 3) -> str:
    """An interval as text; a dash where there is none."""
    if interval is None or np.isnan(interval).any():
        return "–"
    return f"{number(interval[0], digits)} to {number(interval[1], digits)}"
