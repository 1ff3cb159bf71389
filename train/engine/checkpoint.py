"""Model directories in Hugging Face format, and the trainer's state for an exact resume.

Both appear by rename, whole or not at all, with a checksum of every file. A trainer state that
fails its own is passed over for the one before it. Nothing here unpickles.
"""

import logging
import shutil
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

from train.config.decode import decode_stored
from train.config.spec import IsoflopError, SpecError, require
from train.data.tokenizer import TextCodec, save_tokenizer
from train.model.fsdp import cut_like, is_sharded, moments, parameters
from train.rundir.atomic import RecordError, read_json, write_atomic, write_json
from train.rundir.checksums import sha256_of, write_checksums
from train.rundir.metrics_file import shortened
from train.rundir.whole_directory import write_directory

KEPT_STATES = 2
STATE_FILES = ("model.safetensors", "optimizer.safetensors", "rng.safetensors", "trainer.json")
ANOTHER_RELEASE = (
    "it was written by another release; go on with that one, or delete it to start over"
)
log = logging.getLogger(__name__)


class CheckpointError(IsoflopError):
    """A checkpoint that can't be written, or is not of this run."""


class DamagedState(CheckpointError):
    """A saved state whose files are not as they were written."""


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
        write_checksums(building)

    _write_directory(directory, fill)


def step_dir(root: Path, step: int) -> Path:
    """Where the state from which `step` comes next lies."""
    return root / f"step-{step:09d}"


@dataclass(frozen=True)
class StateTensors:
    """Weights and optimiser moments by name, and the random generator's state, on the host."""

    weights: dict[str, torch.Tensor]
    moments: dict[str, torch.Tensor]
    rng: torch.Tensor


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
    tensors = StateTensors(parameters(model), moments(model, optimizer), torch.get_rng_state())
    write_state(root, tensors, state, keep, files)


def write_state(
    root: Path,
    tensors: StateTensors,
    state: TrainerState,
    keep: int | None = KEPT_STATES,
    files: dict[str, bytes] | None = None,
) -> None:
    """`save_state` of tensors that lie on the host; needs neither the model nor its device."""

    def fill(building: Path) -> None:
        save_file(tensors.weights, building / "model.safetensors")
        save_file(tensors.moments, building / "optimizer.safetensors")
        save_file({"torch": tensors.rng}, building / "rng.safetensors")
        write_json(building / "trainer.json", state.__dict__)
        for name, content in (files or {}).items():
            write_atomic(building / name, content)
        checksums = {path.name: sha256_of(path) for path in sorted(building.iterdir())}
        write_json(building / "manifest.json", checksums)

    _write_directory(step_dir(root, state.progress["step"]), fill)
    for _, old in _states(root)[keep:] if keep else []:
        shutil.rmtree(old, ignore_errors=True)


def newest_step(root: Path, at_most: int | None = None) -> int | None:
    """The step of the newest usable state, none beyond `at_most`; None where there is none."""
    for step, directory in _states(root, at_most):
        try:
            _verified(directory)
            return step
        except CheckpointError as error:
            log.warning("%s; falling back to the one before", error)
    return None


def load_state(
    root: Path,
    owner: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    at_most: int | None = None,
    metrics: Path | None = None,
) -> TrainerState | None:
    """Restore the newest usable state into model, optimiser and RNG; None where there is none.

    Usable is one whose files match their checksums, and whose rows `metrics` still has.
    Args:    owner: the run or trunk that the state must be of; at_most: no step beyond this one.
    Raises:  CheckpointError: the state belongs to another run; or there are undamaged ones, but of
             another release or ahead of a metrics.jsonl that was shortened.
    """
    refused = ""
    for stray in root.glob("step-*"):
        if _number(stray) is None:
            log.warning("%s is no saved state and is ignored; move it away", stray)
    for _, directory in _states(root, at_most):
        try:
            state = _verified(directory)
        except CheckpointError as error:
            log.warning("%s; falling back to the one before", error)
            refused = refused if isinstance(error, DamagedState) else str(error)
            continue
        if state.run_id != owner:
            raise CheckpointError(
                f"{directory} belongs to run {state.run_id}, not {owner}; move it away, "
                f"or restore the run's spec"
            )
        lost = shortened(metrics, state.metrics_bytes) if metrics else ""
        if lost:
            log.warning("%s; falling back to the state before %s", lost, directory.name)
            refused = lost
            continue
        _restore(directory, model, optimizer)
        return state
    if refused:
        raise CheckpointError(
            f"no saved state can be used: {refused}; restore that, or delete {root} to start over"
        )
    return None


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
    entries: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in kept.items():
        name, _, moment = key.rpartition(".")
        entries.setdefault(name, {})[moment] = value
    lacking = sorted(set(dict(model.named_parameters())) - set(weights))
    if lacking:
        raise CheckpointError(f"{directory} lacks {lacking[0]} of the model: {ANOTHER_RELEASE}")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(cut_like(weights[name], parameter))
            if name not in entries:  # saved before the first step
                continue
            counter = entries[name].pop("step", None)  # Muon has none
            entry = {key: cut_like(value, parameter) for key, value in entries[name].items()}
            if counter is not None:
                fused = optimizer.defaults.get("fused")
                entry["step"] = counter.to(parameter.device) if fused else counter.clone()
            optimizer.state[parameter] = entry
    torch.set_rng_state(load_file(directory / "rng.safetensors")["torch"])


def _states(root: Path, at_most: int | None = None) -> list[tuple[int, Path]]:
    """(step, directory) of every state, the newest first; other directories are left alone."""
    numbered = [(_number(directory), directory) for directory in root.glob("step-*")]
    found = [(step, directory) for step, directory in numbered if step is not None]
    return sorted(((s, d) for s, d in found if at_most is None or s <= at_most), reverse=True)


def _number(directory: Path) -> int | None:
    """The step in a state's name, None where there is none."""
    number = directory.name.removeprefix("step-")
    return int(number) if number.isascii() and number.isdigit() else None


def _verified(directory: Path) -> TrainerState:
    """What a state says of itself, once every file has been found to match its checksum.

    Raises:  DamagedState: a file is missing or differs; CheckpointError: of another release.
    """
    try:
        checksums = read_json(directory / "manifest.json")
        if not isinstance(checksums, dict) or not set(STATE_FILES) <= set(checksums):
            raise DamagedState(f"{directory} is damaged (manifest.json does not list every file)")
        for name, expected in checksums.items():
            if sha256_of(directory / name) != expected:
                raise DamagedState(f"{directory} is damaged (checksum of {name} differs)")
        content = read_json(directory / "trainer.json")
    except (RecordError, OSError) as error:
        raise DamagedState(f"{directory} is damaged ({error})") from error
    try:
        state = decode_stored(TrainerState, content, "trainer.json")
        step = state.progress.get("step")
        require(step == _number(directory), f"it tells of step {step}")
        require(state.metrics_bytes >= 0, f"metrics_bytes={state.metrics_bytes}")
    except SpecError as error:
        raise CheckpointError(f"{directory} can't be read ({error}): {ANOTHER_RELEASE}") from error
    return state


def _write_directory(directory: Path, fill: Callable[[Path], None]) -> None:
    try:
        write_directory(directory, fill)
    except (OSError, SafetensorError, RecordError) as error:
        raise CheckpointError(f"can't write checkpoint {directory}: {error}") from error
