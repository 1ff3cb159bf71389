"""Model directories in Hugging Face format, and the trainer's state for an exact resume.

Both appear by rename, whole or not at all. A trainer state carries a checksum of every file; one
that fails is passed over for the one before it. Nothing here unpickles.
"""

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from train.record import RecordError, read_json, write_json
from train.spec import IsoflopError
from train.tokenizer import TextCodec, save_tokenizer

KEPT_STATES = 2
log = logging.getLogger(__name__)


class CheckpointError(IsoflopError):
    """A checkpoint that can't be written, or is not of this run."""


@dataclass(frozen=True)
class TrainerState:
    """What a run needs beside its weights to go on exactly.

    `metrics_bytes` is the length of metrics.jsonl; `progress` holds the loop's `Outcome`,
    whose step is the data position.
    """

    run_id: str
    metrics_bytes: int
    progress: dict[str, Any]


def save_model(
    model: PreTrainedModel,
    codec: TextCodec,
    directory: Path,
    max_length: int,
    facts: dict[str, Any],
) -> None:
    """Write a directory that AutoModelForCausalLM and AutoTokenizer load without network.

    Args:    facts: plain values kept beside the weights as isoflop.json (step, loss, run_id, ...).
    Raises:  CheckpointError: disk full or read-only; what was there before stays.
    """

    def fill(building: Path) -> None:
        disable_progress_bar()
        model.save_pretrained(building)
        save_tokenizer(codec, building, max_length)
        write_json(building / "isoflop.json", facts)

    _write_directory(directory, fill)


def save_state(
    root: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainerState
) -> None:
    """Write `root/step-N` with weights, optimiser moments, RNG and counters; keep the newest two.

    Raises:  CheckpointError: disk full or read-only; earlier states stay.
    """

    def fill(building: Path) -> None:
        save_file(_parameters(model), building / "model.safetensors")
        save_file(_moments(model, optimizer), building / "optimizer.safetensors")
        save_file({"torch": torch.get_rng_state()}, building / "rng.safetensors")
        write_json(building / "trainer.json", state.__dict__)
        checksums = {path.name: _sha256(path) for path in sorted(building.iterdir())}
        write_json(building / "manifest.json", checksums)

    _write_directory(root / f"step-{state.progress['step']:09d}", fill)
    for old in sorted(root.glob("step-*"))[:-KEPT_STATES]:
        shutil.rmtree(old, ignore_errors=True)


def load_state(
    root: Path, run_id: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> TrainerState | None:
    """Restore the newest undamaged state into model, optimiser and RNG; None where there is none.

    Raises:  CheckpointError: the state belongs to another run.
    """
    for directory in sorted(root.glob("step-*"), reverse=True):
        problem = _problem(directory)
        if problem:
            log.warning("%s is damaged (%s); falling back to the one before", directory, problem)
            continue
        state = TrainerState(**read_json(directory / "trainer.json"))
        if state.run_id != run_id:
            raise CheckpointError(
                f"{directory} belongs to run {state.run_id}, not {run_id}; move it away, "
                f"or restore the run's spec"
            )
        _restore(directory, model, optimizer)
        return state
    return None


def _restore(directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    weights = load_file(directory / "model.safetensors")
    moments = load_file(directory / "optimizer.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
            if f"{name}.step" not in moments:  # saved before the first step
                continue
            optimizer.state[parameter] = {
                "step": moments[f"{name}.step"].clone(),
                "exp_avg": moments[f"{name}.exp_avg"].to(parameter.device).clone(),
                "exp_avg_sq": moments[f"{name}.exp_avg_sq"].to(parameter.device).clone(),
            }
            if optimizer.defaults.get("fused") and parameter.is_cuda:
                entry = optimizer.state[parameter]
                entry["step"] = entry["step"].to(parameter.device)
    torch.set_rng_state(load_file(directory / "rng.safetensors")["torch"])


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _problem(directory: Path) -> str:
    """Why a state can't be used; empty when every file matches its checksum."""
    try:
        checksums = read_json(directory / "manifest.json")
        for name, expected in checksums.items():
            if _sha256(directory / name) != expected:
                return f"checksum of {name} differs"
        return ""
    except (RecordError, OSError, AttributeError, SafetensorError, json.JSONDecodeError) as error:
        return str(error)


def _write_directory(directory: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a hidden sibling, flush it to disk, and swap it into place."""
    aside = directory.with_name(f".{directory.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        fill(aside)
        for path in aside.iterdir():
            _fsync(path)
        _fsync(aside)
        if directory.exists():
            replaced = directory.with_name(f".{directory.name}.replaced-{uuid.uuid4().hex[:8]}")
            os.rename(directory, replaced)
            os.rename(aside, directory)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.rename(aside, directory)
        _fsync(directory.parent)
    except (OSError, SafetensorError, RecordError) as error:
        raise CheckpointError(f"can't write checkpoint {directory}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sweep_leftovers(run_dir: Path) -> None:
    """Remove half-written directories that a killed process left behind."""
    for parent in (run_dir, run_dir / "state", run_dir / "checkpoints"):
        for path in parent.glob(".*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
