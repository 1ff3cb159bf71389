"""A small corpus and a tiny run on it, for every test that trains."""

from dataclasses import replace
from pathlib import Path

import pytest

from train.config.resolve import resolve
from train.config.run_config import RunConfig, RuntimeSpec
from train.config.spec import DataSpec, HorizonSpec, ModelSpec, OptimSpec, RunSpec, SourceSpec
from train.data.dataset import describe
from train.run import train_run
from train.rundir.record import write_job


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of twenty text files, some 60 kB, all different."""
    directory = tmp_path_factory.mktemp("corpus")
    for number in range(20):
        lines = [f"file {number} line {line}: {number * line % 97}\n" for line in range(150)]
        (directory / f"{number:02d}.txt").write_text("".join(lines))
    return directory


@pytest.fixture(scope="session")
def text_data(corpus: Path) -> DataSpec:
    """The corpus as the only part, with 4,096 validation tokens."""
    options = {"files": [f"{corpus}/*.txt"]}
    return DataSpec(parts={"text": SourceSpec("text", options=options)}, val_tokens=4096)


@pytest.fixture(scope="session")
def tiny_job(text_data: DataSpec) -> RunConfig:
    """Forty steps of a 16-wide model; a second or two on one core."""
    requested = RunSpec(
        data=text_data,
        horizon=HorizonSpec(n_tokens=40 * 128),
        model=ModelSpec(d_model=16, seq_len=32),
        optim=OptimSpec(batch_tokens=128),
    )
    spec = resolve(requested, describe(text_data, 32))
    return RunConfig(spec=spec, runtime=RuntimeSpec(device="cpu", n_evals=4), name="tiny")


@pytest.fixture(scope="session")
def longer_job(tiny_job: RunConfig) -> RunConfig:
    """The same run over 300 steps, long enough to be killed on the way."""
    spec = replace(tiny_job.spec, horizon=HorizonSpec(n_tokens=300 * 128.0), n_steps=None)
    resolved = resolve(spec, describe(spec.data, 32))
    return replace(tiny_job, spec=resolved)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_job: RunConfig) -> Path:
    """The tiny run, trained to its end."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    write_job(run_dir, tiny_job)
    assert train_run(run_dir) == "finished"
    return run_dir
