"""The runs that were asked to be predicted, by settings and by table."""

from pathlib import Path

from analysis.config import PredictConfig
from analysis.data.reading.points import read_points


def asked_points(asked: PredictConfig) -> list[tuple[float, float, float]]:
    """N, D and measured loss of the runs to predict, by settings and by table."""
    listed = [(n, d, float("nan")) for n, d in asked.pairs]
    if asked.table is None:
        return listed
    return [*listed, *map(tuple, read_points(Path(asked.table)).tolist())]
