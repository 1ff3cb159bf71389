"""Small specs and run directories that the tests of sweeps share; no data, no torch."""

import json
from pathlib import Path

from sweeps.plan.expand import Expansion, expand
from sweeps.spec.grids import Bounds, GridSpec, SweepSpec
from train.config.resolve import DataInfo
from train.config.run_config import RunConfig
from train.config.spec import DataSpec, HorizonSpec, ModelSpec, RunSpec, SourceSpec
from train.rundir.record import RunRecord, write_job, write_record

FAKES = Path(__file__).parents[1] / "fakes"
"""A folder for PATH with an nvidia-smi that lists FAKE_GPUS cards."""

FACTS = DataInfo(fingerprint="f" * 16, vocab_size=257, n_train_tokens={"text": 10_000_000})


def base(**changes) -> RunSpec:
    """A base run on one part of ten million tokens."""
    values = {
        "data": DataSpec(parts={"text": SourceSpec(kind="stdlib")}),
        "horizon": HorizonSpec(n_tokens=1.0),
        "model": ModelSpec(d_model=32, seq_len=64),
    }
    return RunSpec(**{**values, **changes})


def facts(data: DataSpec, seq_len: int) -> DataInfo:
    """Facts of any data: ten million tokens a part, vocabulary 257."""
    return DataInfo("f" * 16, 257, dict.fromkeys(data.parts, 10_000_000))


def grid(**values) -> GridSpec:
    """An IsoFLOP grid of 2 x 2 unless told otherwise."""
    return GridSpec(**({"budgets": [1e10, 2e10], "d_models": [16, 32]} | values))


def expansion(*, seeds=(0,), bounds=None, **grids) -> Expansion:
    """The runs of a sweep made of the named grids."""
    sweep = SweepSpec(name="test", seeds=list(seeds), bounds=bounds or Bounds(), grids=grids)
    return expand(sweep, base(), facts)


def record_of(job: RunConfig, status: str = "finished", loss: float | None = 2.0) -> RunRecord:
    """A record such as training would write for this job."""
    model, tokens = job.spec.model, int(job.spec.horizon.n_tokens or 0)
    return RunRecord(
        run_id=job.run_id,
        name=job.name,
        sweep=job.sweep,
        grid=job.grid,
        status=status,
        data="text",
        data_fingerprint=job.spec.data.fingerprint or "",
        seed=job.spec.seed,
        family=model.family,
        d_model=model.d_model,
        n_layers=model.n_layers or 0,
        n_heads=model.n_heads or 0,
        d_ff=model.d_ff or 0,
        vocab_size=model.vocab_size or 0,
        seq_len=model.seq_len,
        n_params=10_000,
        n_params_total=12_000,
        n_params_non_embedding=8_000,
        n_tokens=tokens,
        tokens_per_param=tokens / 10_000,
        n_steps=job.spec.n_steps or 0,
        batch_tokens=job.spec.optim.batch_tokens or 0,
        lr_peak=job.spec.optim.lr_peak or 0.0,
        flops=1e10,
        flops_6nd=1e10,
        flops_chinchilla=1e10,
        flops_budget=job.flops_budget,
        flops_spent=1e10,
        loss=loss,
        bits_per_byte=loss,
        train_loss=loss,
        losses={"text": loss} if loss is not None else {},
        epochs={"text": 0.1},
        wall_seconds=3.0,
        tokens_per_second=1000.0,
    )


def make_sweep(root: Path, n_done: int = 0, **grids) -> list[Path]:
    """A sweep directory whose first `n_done` runs are finished; returns the run directories."""
    runs = expansion(**(grids or {"iso": grid()})).runs
    directories = []
    for number, run in enumerate(runs):
        run_dir = root / "runs" / run.dir_name
        write_job(run_dir, run.job)
        if number < n_done:
            finish(run_dir, run.job)
        directories.append(run_dir)
    return directories


def finish(run_dir: Path, job: RunConfig) -> None:
    """Leave behind what a finished run leaves: a curve and a record."""
    rows = [{"step": s, "n_tokens": 100 * s, "flops": 1e3 * s, "train_loss": 3.0} for s in (1, 2)]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_record(run_dir, record_of(job))
