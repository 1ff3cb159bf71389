"""Training losses along runs, smoothed: what approach 1 reads where no token is seen twice.

In one epoch the loss of a batch is of text that the model has not seen, as a validation loss is,
and a run logs hundreds of them where it evaluates a few times (Hoffmann et al. 2022 smooth theirs
too). Each is of few tokens: at every place a straight line in log tokens is fitted to the points
within a window, which also says how far noise moves it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.data.loss_table import CURVE_COLUMNS, as_numbers
from analysis.data.table_error import TableError

TRAINING_COLUMNS = (*CURVE_COLUMNS, "error", "window")
"""Of a smoothed curve's places; `error` is the standard error of the log of its loss."""

WINDOWS = (0.1, 0.2, 0.3)
"""Half the width in log tokens of the stretch that a smoothed loss is of: 10 % of the tokens so far
on each side, at the end of a run its last 10 %. The first at which noise is small is taken: over
the widest, a decay bends a curve by about .3 % off a straight line."""

SMALL_ERROR = 0.005
"""Error of a smoothed loss that is small: less than what seeds differ by."""

PLACES = 200
"""Log-spaced tokens at which a run's smoothed loss is kept; a window holds many of them."""

LEAST_IN_WINDOW = 8
"""Points that a line is fitted to, of however many tokens, where a window holds fewer."""

SKIPPED = 0.05
"""Share of a run's tokens at its start that is left out, like its warm-up: how a run leaves its
initial weights says nothing of its size."""

FEWEST_POINTS = 20
"""Logged points behind the warm-up below which a run has no training curve."""

_READ = ("run_id", "n_tokens", "flops", "train_loss", "lr")


@dataclass(frozen=True)
class Smoothed:
    """A smoothed curve, (places,) each.

    Attributes:
        n_tokens: Where.
        loss: Smoothed loss.
        error: Standard error of its log, from the noise of the points.
    """

    n_tokens: np.ndarray
    loss: np.ndarray
    error: np.ndarray


def smoothed(
    n_tokens: np.ndarray, loss: np.ndarray, start: float, window: float = WINDOWS[0]
) -> Smoothed:
    """One run's training loss at log-spaced tokens.

    Args:
        n_tokens: Tokens up to which each mean goes, (points,), growing; it is of what was seen
            since the point before, so it is placed in the middle.
        loss: Means since the point before, > 0.
        start: Tokens before which nothing is kept, such as a warm-up's.
        window: Half the width in log tokens.

    Raises:
        TableError: Fewer than LEAST_IN_WINDOW points.
    """
    middle = (n_tokens + np.append(0.0, n_tokens[:-1])) / 2
    kept = middle >= start
    x, y = np.log(middle[kept]), loss[kept]
    if len(x) < LEAST_IN_WINDOW:
        raise TableError(f"{len(x)} points to smooth; expected at least {LEAST_IN_WINDOW}")
    places = np.linspace(x[0], np.log(n_tokens[-1]), PLACES)
    first = np.searchsorted(x, places - window)
    last = np.searchsorted(x, places + window, side="right")
    lacking = last - first < LEAST_IN_WINDOW
    nearest = np.searchsorted(x, places) - LEAST_IN_WINDOW // 2
    first = np.where(lacking, np.clip(nearest, 0, len(x) - LEAST_IN_WINDOW), first)
    last = np.where(lacking, first + LEAST_IN_WINDOW, last)
    value, share = _lines(x, y, first, last, places)
    return Smoothed(np.exp(places), value, _noise(np.log(y)) * np.sqrt(share))


def training_curves(path: Path) -> pd.DataFrame:
    """Smoothed training losses of a sweep's curves.parquet, columns TRAINING_COLUMNS.

    The window is the narrowest that makes the median error small, the same for all runs. Runs
    without a learning rate along training, as simulated ones are, or with fewer than FEWEST_POINTS
    points behind their warm-up have none.

    Raises:
        TableError: The file can't be read.
    """
    made = pd.DataFrame({name: [] for name in TRAINING_COLUMNS})
    try:
        if not set(_READ) <= set(pq.read_schema(path).names):
            return made
        for window in WINDOWS:
            parts = [part for points in _row_groups(path) for part in _runs(points, window)]
            if not parts:
                return made
            made = pd.concat(parts, ignore_index=True)
            if float(np.median(as_numbers(made, "error"))) <= SMALL_ERROR:
                return made
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path} can't be read ({error}); collect the sweep again") from error
    return made


def _row_groups(path: Path) -> Iterator[pd.DataFrame]:
    """A few hundred runs at a time, since there may be millions of points; a run is in one group,
    as `isoflop sweep collect` writes them, or begins again in the next.
    """
    file = pq.ParquetFile(path)
    rest = pd.DataFrame({name: [] for name in _READ})
    for number in range(file.num_row_groups):
        own = file.read_row_group(number, columns=list(_READ)).to_pandas()
        points = pd.concat([rest, own], ignore_index=True) if len(rest) else own
        if number + 1 == file.num_row_groups or not len(points):
            yield points
            return
        open_run = points["run_id"] == points["run_id"].iloc[-1]
        rest = points.loc[open_run]
        yield points.loc[~open_run]


def _runs(points: pd.DataFrame, window: float) -> Iterator[pd.DataFrame]:
    known = points.loc[
        points["train_loss"].gt(0) & np.isfinite(points["train_loss"]) & points["lr"].notna()
    ]
    for name, own in known.groupby("run_id", sort=False, observed=True):
        own = own.sort_values("n_tokens").drop_duplicates("n_tokens", keep="last")
        tokens, flops, loss, lr = (own[key].to_numpy(dtype=float) for key in _READ[1:])
        start = max(float(tokens[int(lr.argmax())]), SKIPPED * float(tokens[-1]))
        if int((tokens > start).sum()) < FEWEST_POINTS:
            continue
        made = smoothed(tokens, loss, start, window)
        per_token = flops[-1] / tokens[-1]
        flops = per_token * made.n_tokens
        columns = (str(name), made.n_tokens, flops, made.loss, made.error, window)
        yield pd.DataFrame(dict(zip(TRAINING_COLUMNS, columns, strict=True)))


def _lines(
    x: np.ndarray, y: np.ndarray, first: np.ndarray, last: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares lines through points first:last at each place: their values there, and the sums
    of squares of the weights that the points have in them.
    """
    x, places = x - x.mean(), places - x.mean()
    sums = [np.append(0.0, np.cumsum(v)) for v in (np.ones(len(x)), x, y, x * x, x * y)]
    n, sx, sy, sxx, sxy = (s[last] - s[first] for s in sums)
    spread = np.maximum(sxx - sx * sx / n, 1e-12)
    slope = (sxy - sx * sy / n) / spread
    off = places - sx / n
    return sy / n + slope * off, 1 / n + off * off / spread


def _noise(y: np.ndarray) -> float:
    """Standard deviation of independent noise on a smooth curve, from its second differences."""
    return float(np.sqrt(np.mean(np.diff(y, 2) ** 2) / 6))
