"""The card of a checkpoint: what it was trained on and how, for people and for the hub."""

from importlib import metadata
from pathlib import Path

from huggingface_hub import ModelCardData

from train.config.run_config import RunConfig
from train.config.spec import known
from train.rundir.record import RunPaths
from train.rundir.record_fields import job_columns

TAGS = ("scaling-laws", "isoflop")
VERSIONS = ("torch", "transformers")


def model_card(
    run_dir: Path, job: RunConfig, step: int, loss: float | None, exponents: str = ""
) -> str:
    """The README.md of a run's checkpoint.

    Args:    step: optimiser steps that it has behind it; loss: its validation loss, nats per token;
             exponents: what the fits of its sweep say, in Markdown; empty where nothing was fitted.
    """
    columns = job_columns(job, step)
    spec = job.spec
    n_steps = known(spec.n_steps, "n_steps")
    header = ModelCardData(
        library_name="transformers", tags=list(TAGS), pipeline_tag="text-generation"
    )
    rows = {
        "data": f"{columns['data']} (fingerprint {columns['data_fingerprint']})",
        "parameters N (matrix products, head included)": f"{columns['n_params']:,}",
        "parameters that a token meets": f"{columns['n_params_active']:,}",
        "parameters in all": f"{columns['n_params_total']:,}",
        "tokens D": f"{columns['n_tokens']:,}",
        "training FLOPs C": f"{columns['flops']:.4g}",
        "validation loss (nats per token)": "not validated here" if loss is None else f"{loss:.5f}",
        "step": f"{step:,} of {n_steps:,}",
        "family": spec.model.family,
        "layers, width": f"{columns['n_layers']}, {spec.model.d_model}",
        "recipe": (
            f"optim.rule={spec.optim.rule}, {spec.optim.optimizer}, peak rate "
            f"{columns['lr_peak']:.4g}, {columns['batch_tokens']:,} tokens a batch, weight decay "
            f"{columns['weight_decay']}, schedule {spec.schedule.name}"
        ),
        "seed, precision": f"{spec.seed}, {spec.precision}",
        "began with": columns["init_from"] or "weights drawn from the seed",
        "run": f"{job.name} of sweep {job.sweep} (run_id {job.run_id})",
        "command": f"`{_command(run_dir)}`",
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    fitted = f"\n## Scaling laws of its sweep\n\n{exponents}\n" if exponents else ""
    return f"---\n{header.to_yaml()}\n---\n\n# {job.name}\n\n| | |\n|---|---|\n{table}\n{fitted}"


def _command(run_dir: Path) -> str:
    """The words of the command line that asked for the run, where they were kept."""
    try:
        words = RunPaths(run_dir).overrides.read_text(encoding="utf-8").split("\n")
    except OSError:
        words = []
    return " ".join(["isoflop train", *filter(None, words)])
