"""Presets that fine-tune a ladder's checkpoints, on a ladder of one tiny model."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eval.__main__ import EvalConfig
from eval.__main__ import main as evaluate
from sweeps.plan.expand import Expansion, expand
from sweeps.spec.config import SweepConfig
from train.config.cli import load_config
from train.config.resolve import resolve
from train.config.run_config import RunConfig, RuntimeSpec
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    OptimSpec,
    RunSpec,
    SourceSpec,
    TokenizerSpec,
)
from train.data.dataset import describe
from train.run import train_run
from train.rundir.record import read_record, write_job
from train.rundir.starting_point import starting_points

GRIDS = {"scratchpad": ("plain", "scratchpad"), "instructions": ("formats", "plain")}
FORMATS = ("plain", "few_shot", "scratchpad", "chain_of_thought", "verdict")


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of the runs of a ladder: one model, with a checkpoint half way."""
    part = SourceSpec("arithmetic", options={"digits": 2, "n_items": 2000})
    data = DataSpec({"sums": part}, TokenizerSpec("bytes"), val_tokens=1024)
    asked = RunSpec(
        data=data,
        horizon=HorizonSpec(n_tokens=10 * 1024.0),
        model=ModelSpec(d_model=16, seq_len=256),
        optim=OptimSpec(batch_tokens=1024),
    )
    job = RunConfig(
        resolve(asked, describe(data, 256)),
        RuntimeSpec(device="cpu", keep_checkpoints=[0.5]),
        name="d16",
    )
    run_dir = tmp_path_factory.mktemp("ladder") / "runs" / "d16"
    write_job(run_dir, job)
    assert train_run(run_dir) == "finished"
    return run_dir.parent


def tuned(preset: str, ladder: Path) -> Expansion:
    """The runs of a preset over every checkpoint of the ladder, on few tokens."""
    places = f"[{ladder}/*,{ladder}/*/checkpoints/*]"
    words = [
        word
        for grid in GRIDS[preset]
        for word in (
            f"sweep.grids.{grid}.init_from={places}",
            f"sweep.grids.{grid}.n_tokens=[8192]",
        )
    ]
    for grid in GRIDS[preset]:
        parts = FORMATS if grid == "formats" else ("addition",)
        base = f"sweep.grids.{grid}.base.data.parts"
        words += [f"{base}.{part}.options.n_items=2000" for part in parts]
    few = ["data.val_tokens=1024", "optim.batch_tokens=1024", "runtime.device=cpu"]
    config = load_config("sweep", [f"preset={preset}", *words, *few], SweepConfig)
    return expand(
        config.sweep, config.base, describe, config.run_settings, checkpoints=starting_points
    )


@pytest.mark.parametrize("preset", GRIDS)
def test_both_grids_run_over_every_checkpoint(preset: str, ladder: Path):
    made = tuned(preset, ladder)
    assert made.left_out == []
    jobs = [run.job for run in made.runs]
    for grid in GRIDS[preset]:
        begun = [job.spec.init for job in jobs if job.grid == grid]
        assert sorted(one.n_tokens for one in begun) == [5 * 1024, 10 * 1024]
    formats = {
        grid: {
            part.options["format"]
            for job in jobs
            if job.grid == grid
            for part in job.spec.data.parts.values()
        }
        for grid in GRIDS[preset]
    }
    assert formats[GRIDS[preset][0]] != formats[GRIDS[preset][1]]
    if preset == "instructions":
        assert formats["plain"] == {"plain"}
        assert not {"question", "zero_padded", "reversed"} & formats["formats"]


def test_a_tuned_model_is_asked_in_a_format_that_was_left_out(ladder: Path, tmp_path: Path):
    run = next(run for run in tuned("instructions", ladder).runs if run.job.grid == "formats")
    run_dir = tmp_path / "sweep" / "runs" / run.dir_name
    write_job(run_dir, run.job)
    assert train_run(run_dir) == "finished"
    record = read_record(run_dir)
    assert record.init_n_params == record.n_params
    task = {"task": "addition", "digits": 2, "format": "question"}
    asked = EvalConfig(
        target=str(tmp_path / "sweep"), task=task, n_items=8, n_seen=0, n_by_length=0
    )
    assert evaluate(asked, []) == 0
    rows = pq.read_table(tmp_path / "sweep" / "evals.parquet").to_pylist()
    found = {row["metric"] for row in rows}
    assert {"exact_match", "token_edit_distance"} <= found
    assert {row["format"] for row in rows} == {"question"}
