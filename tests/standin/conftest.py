"""The tiny runs of tests/train, and one on masked rows, for the stand-in too."""

from dataclasses import replace

import pytest

from tests.train.conftest import corpus, text_data, tiny_job  # noqa: F401  fixtures
from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import DataSpec, HorizonSpec, ModelSpec, OptimSpec, RunSpec, SourceSpec
from train.data.dataset import describe


@pytest.fixture(scope="session")
def masked_job(tiny_job: RunConfig) -> RunConfig:  # noqa: F811
    """Twenty steps on prompts that carry no loss."""
    part = SourceSpec("arithmetic", options={"digits": 2, "n_items": 500})
    data = DataSpec(parts={"sums": part}, val_tokens=640)
    requested = RunSpec(
        data=data,
        horizon=HorizonSpec(n_tokens=20 * 160),
        model=ModelSpec(d_model=16, seq_len=20),
        optim=OptimSpec(batch_tokens=160),
    )
    return replace(tiny_job, spec=resolve(requested, describe(data, 20)))
