import numpy as np
import pandas as pd

from analysis.studies.bootstrap import clusters, counts
from analysis.studies.fit_config import FitConfig

TRUNKS = np.array(["t", None, "u", "t", None])


def test_equal_values_are_one_cluster_and_missing_ones_stand_alone():
    labels = clusters(TRUNKS)
    assert labels[0] == labels[3]
    assert len(set(labels)) == 4


def test_runs_of_one_trunk_are_drawn_together():
    frame = pd.DataFrame({"trunk_id": TRUNKS, "n_params": 1.0})
    drawn = counts(frame, FitConfig(resample="trunk_id"), 50)
    assert np.array_equal(drawn[:, 0], drawn[:, 3])
    assert not np.array_equal(drawn[:, 1], drawn[:, 4])
