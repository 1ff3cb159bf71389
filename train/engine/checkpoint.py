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
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from train.config.spec import IsoflopError
from train.data.tokenizer import TextCodec, save_tokenizer
from train.model.fsdp import cut_like, is_sharded, moments, parameters
from train.rundir.atomic import RecordError, read_json, write_atomic, write_json

KEPT_STATES = 2
MOMENTS = ("exp_avg", "exp_avg_sq")
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

    Of a sharded model every rank must call `give_weights` meanwhile.

    Args:    facts: plain values kept beside the weights as isoflop.json (step, loss, run_id, ...).
    Raises:  CheckpointError: disk full or read-only; what was there before stays.
    """

    weights = parameters(model) if is_sharded(model) else None

    def fill(building: Path) -> None:
        disable_progress_bar()
        model.save_pretrained(building, state_dict=weights)
        save_tokenizer(codec, building, max_length)
        write_json(building / "isoflop.json", facts)

    _write_directory(directory, fill)


def step_dir(root: Path, step: int) -> Path:
    """Where the state from which `step` comes next lies."""
    return root / f"step-{step:09d}"


def save_state(
    root: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainerState,
    keep: int | None = KEPT_STATES,
    files: dict[str, bytes] | None = None,
) -> None:
    """Write `root/step-N` with weights, optimiser moments, RNG and counters.

    Args:    keep: how many of the newest states stay, None for all; files: put beside, checksummed.
    Raises:  CheckpointError: disk full or read-only; earlier states stay.
    """
    weights, kept = parameters(model), moments(model, optimizer)

    def fill(building: Path) -> None:
        save_file(weights, building / "model.safetensors")
        save_file(kept, building / "optimizer.safetensors")
        save_file({"torch": torch.get_rng_state()}, building / "rng.safetensors")
        write_json(building / "trainer.json", state.__dict__)
        for name, content in (files or {}).items():
            write_atomic(building / name, content)
        checksums = {path.name: _sha256(path) for path in sorted(building.iterdir())}
        write_json(building / "manifest.json", checksums)

    _write_directory(step_dir(root, state.progress["step"]), fill)
    for old in sorted(root.glob("step-*"))[:-keep] if keep else []:
        shutil.rmtree(old, ignore_errors=True)


def newest_step(root: Path, at_most: int | None = None) -> int | None:
    """The step of the newest undamaged state, none beyond `at_most`; None where there is none."""
    for directory in sorted(root.glob("step-*"), reverse=True):
        step = int(directory.name.removeprefix("step-"))
        if at_most is not None and step > at_most:
            continue
        problem = _problem(directory)
        if not problem:
            return step
        log.warning("%s is damaged (%s); falling back to the one before", directory, problem)
    return None


def load_state(
    root: Path,
    owner: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    at_most: int | None = None,
) -> TrainerState | None:
    """Restore the newest undamaged state into model, optimiser and RNG; None where there is none.

    Args:    owner: the run or trunk that the state must be of; at_most: no step beyond this one.
    Raises:  CheckpointError: the state belongs to another run.
    """
    step = newest_step(root, at_most)
    if step is None:
        return None
    directory = step_dir(root, step)
    state = TrainerState(**read_json(directory / "trainer.json"))
    if state.run_id != owner:
        raise CheckpointError(
            f"{directory} belongs to run {state.run_id}, not {owner}; move it away, "
            f"or restore the run's spec"
        )
    _restore(directory, model, optimizer)
    return state


def give_weights(model: nn.Module) -> None:
    """A follower's part in `save_model`: its shards, where the model is sharded."""
    if is_sharded(model):
        parameters(model)


def give_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """A follower's part in `save_state`: its shards of weights and moments."""
    if is_sharded(model):
        parameters(model)
        moments(model, optimizer)


def _restore(directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    weights = load_file(directory / "model.safetensors")
    kept = load_file(directory / "optimizer.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(cut_like(weights[name], parameter))
            if f"{name}.step" not in kept:  # saved before the first step
                continue
            entry = {key: cut_like(kept[f"{name}.{key}"], parameter) for key in MOMENTS}
            entry["step"] = kept[f"{name}.step"].clone()
            if optimizer.defaults.get("fused"):
                entry["step"] = entry["step"].to(parameter.device)
            optimizer.state[parameter] = entry
    torch.set_rng_state(load_file(directory / "rng.safetensors")["torch"])


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
