"""`isoflop train`: compose one run, create its directory, train it."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from train.commands.command_line import Command, run_command, text_override
from train.config.cli import UsageError
from train.config.hyperparameters import RULES
from train.config.resolve import resolve
from train.config.run_config import RunConfig, RuntimeSpec, TrackerSpec
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    IsoflopError,
    ModelSpec,
    OptimSpec,
    RunSpec,
    ScheduleSpec,
)
from train.rundir.record import RunPaths, read_record, write_job
from train.rundir.starting_point import starting_point
from train.speed.explain import explanation
from train.speed.precision import realised_precision
from train.trackers.kinds import begin_stores, require_packages


@dataclass(frozen=True)
class TrainConfig:
    """The keys of conf/train.yaml; `explain_speed` prints what was measured and trains nothing.

    `init_from`: a run, a checkpoint or a name on Hugging Face's hub whose weights the run begins
    with; the shape is that checkpoint's and model= is not read.
    """

    data: DataSpec
    horizon: HorizonSpec
    model: ModelSpec = field(default_factory=ModelSpec)
    optim: OptimSpec = field(default_factory=OptimSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    runtime: RuntimeSpec = field(default_factory=RuntimeSpec)
    tracker: TrackerSpec = field(default_factory=TrackerSpec)
    precision: str = "fp32"
    seed: int = 0
    name: str | None = None
    out: str | None = None
    init_from: str | None = None
    explain_speed: bool = False


def job_of(config: TrainConfig) -> RunConfig:
    """The resolved run of a configuration; builds the data's shards where they are missing.

    Raises:  IsoflopError: anything about the spec or its data that can't work.
    """
    from train.data.dataset import describe

    requested = RunSpec(
        data=config.data,
        horizon=config.horizon,
        model=config.model,
        optim=config.optim,
        schedule=config.schedule,
        precision=realised_precision(
            config.precision,
            config.runtime.device,
            config.model.d_model,
            threads=config.runtime.threads,
        ),
        seed=config.seed,
    )
    if config.init_from is not None:
        requested = starting_point(config.init_from).applied(requested)
    spec = resolve(requested, describe(config.data, requested.model.seq_len))
    name = config.name or f"{'+'.join(sorted(spec.data.parts))}-d{spec.model.d_model}-s{spec.seed}"
    return RunConfig(spec=spec, runtime=config.runtime, tracker=config.tracker, name=name)


def main(config: TrainConfig, overrides: list[str]) -> int:
    """Train one run; returns the exit status."""
    require_packages(config.tracker.kinds)
    begin_stores(config.tracker)
    job = job_of(config)
    if config.explain_speed:
        print(explanation(job))
        return 0
    run_dir = Path(config.out) if config.out else Path("results/single/runs") / job.dir_name
    write_job(run_dir, job, overrides)
    if read_record(run_dir) is None:
        print(
            f"training {job.name}: {job.spec.n_steps} steps of {job.spec.optim.batch_tokens} tokens"
        )
    from train.run import PREEMPTED_EXIT, train_run

    started = time.perf_counter()
    status = train_run(run_dir)
    record = read_record(run_dir)
    if record is None:
        error = RunPaths(run_dir).error
        reason = error.read_text().splitlines()[0] if error.exists() else "see train.log"
        if status == "preempted":
            print(f"preempted; run the same command again to continue\n{run_dir}")
            return PREEMPTED_EXIT
        raise IsoflopError(f"run ended as {status}: {reason} ({run_dir})")
    loss = "none" if record.loss is None else f"{record.loss:.4f} nats/token"
    seconds = time.perf_counter() - started
    if record.entropy is not None and record.loss is not None:
        excess = record.loss / record.entropy - 1
        print(f"entropy of the data {record.entropy:.4f} nats/token: the loss is {excess:+.2%}")
    print(f"{status}: validation loss {loss}, {record.n_tokens} tokens, {seconds:.1f} s\n{run_dir}")
    return 0 if status == "finished" else 1


def paths(given: list[str], verb: str | None) -> list[str]:
    """The run's directory as an override.

    Raises:  UsageError: there are several.
    """
    if len(given) > 1:
        raise UsageError(f"got {', '.join(given)}; expected one directory for the run's results")
    return [text_override("out", path) for path in given]


def rule_option(name: str) -> list[str]:
    """optim=NAME of a hyperparameter rule that has no file in conf/optim/."""
    return [f"optim.rule={name}"] if name in RULES else []


def source_option(name: str) -> list[str]:
    """data=KIND of a source that has no file in conf/data/."""
    from train.data.sources import KINDS

    return ["data=empty", f"data.parts.{name}.kind={name}"] if name in KINDS else []


GROUP_OPTIONS = {"optim": rule_option, "data": source_option}

COMMAND = Command(
    name="train",
    module="train",
    description="Train one model from scratch into one run directory.",
    config_name="train",
    config=TrainConfig,
    run=main,
    arguments="[DIR]",
    paths=paths,
    options=GROUP_OPTIONS,
    switches={
        "explain_speed": "print what this machine does fastest, and what this run would take"
    },
)

if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m train")
