"""Checkpoints that runs begin with: where they are, whose they are, and which weights they hold."""

import dataclasses
import hashlib
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from train.config.flops import count_params
from train.config.shapes import complete_shape
from train.config.spec import InitSpec, IsoflopError, ModelSpec, RunSpec, TokenizerSpec, known
from train.rundir.atomic import RecordError, read_json
from train.rundir.checksums import checksum_problem, sha256_of
from train.rundir.record import RunPaths, read_job

_NO_SETTINGS = (
    *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype"),
    *("_name_or_path", "auto_map"),
)
"""Keys of a config.json that say what wrote it."""


class StartError(IsoflopError):
    """A checkpoint that a run can't begin with."""


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint, its shape, and the tokenizer of the run that wrote it (None: not known)."""

    init: InitSpec
    model: ModelSpec
    tokenizer: TokenizerSpec | None

    def applied(self, spec: RunSpec) -> RunSpec:
        """A run that begins here: with this shape, and the sequences that it asks for.

        Raises:  StartError: other ids for its text, or longer sequences than positions.
        """
        tokenizer = spec.data.tokenizer
        if self.tokenizer is not None and self.tokenizer != tokenizer:
            raise StartError(
                f"init_from={self.init.path} was trained on tokenizer {self.tokenizer}, and this "
                f"data has {tokenizer}: set the same one under data.tokenizer"
            )
        asked, most = spec.model.seq_len, _positions(self.model)
        if most is not None and asked > most:
            raise StartError(
                f"init_from={self.init.path} has {most} positions and model.seq_len={asked}; use "
                f"model.seq_len={most}"
            )
        keeps = self.model.family == "gpt2"  # its positions are weights
        model = self.model if keeps else dataclasses.replace(self.model, seq_len=asked)
        return dataclasses.replace(spec, model=model, init=self.init)


def starting_points(place: str) -> list[StartingPoint]:
    """The checkpoints that a name stands for, in name order.

    Args:    place: a run's directory, a checkpoint of one, a directory in Hugging Face's format, a
             name on its hub, or a pattern of directories (results/x/runs/*).
    Raises:  StartError: none there, or one that can't be used.
    """
    if not has_magic(place):
        return [starting_point(place)]
    found = sorted(path for path in glob(place) if Path(path).is_dir())
    if not found:
        raise StartError(f"init_from={place} matches no directory; train what it starts from first")
    return [starting_point(path) for path in found]


def starting_point(place: str) -> StartingPoint:
    """One checkpoint by its directory or name.

    Raises:  StartError: nothing there, damaged files, or weights in another format.
    """
    directory = Path(place)
    if (directory / "spec.json").is_file():
        directory = RunPaths(directory).checkpoint
    elif not directory.is_dir():
        directory = _downloaded(place)
    if not (directory / "config.json").is_file():
        raise StartError(
            f"init_from={place} holds no checkpoint (no {directory / 'config.json'}); give a run "
            f"that is finished, a directory in Hugging Face's format, or a name on its hub"
        )
    if problem := checksum_problem(directory):
        raise StartError(f"init_from={place} is damaged: {problem}; restore it")
    sha256 = weights_sha256(directory)
    own = _own_run(directory)
    if own is not None:
        spec, n_tokens = own
        n_params = count_params(spec.model).n_params
        init = InitSpec(sha256, str(directory), n_params, n_tokens)
        return StartingPoint(init, spec.model, spec.data.tokenizer)
    model = _foreign_model(directory)
    init = InitSpec(sha256, str(directory), count_params(model).n_params)
    return StartingPoint(init, model, None)


def weights_sha256(directory: Path) -> str:
    """SHA-256 of a checkpoint's weights; of several files that of their own checksums.

    Raises:  StartError: it has none in the format of safetensors.
    """
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise StartError(f"{directory} has no *.safetensors; convert its weights to that format")
    sums = [sha256_of(path) for path in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def _own_run(directory: Path) -> tuple[RunSpec, float] | None:
    """Spec of the run that wrote a checkpoint, and the tokens it had seen; None for others'."""
    run_dir = directory.parent
    if not (run_dir / "spec.json").is_file():
        run_dir = run_dir.parent
    if not (run_dir / "spec.json").is_file():
        return None
    spec = read_job(run_dir).spec
    try:
        step = read_json(directory / "isoflop.json")["step"]
    except (RecordError, KeyError, TypeError):
        step = known(spec.n_steps, "n_steps")
    seen = step * known(spec.optim.batch_tokens, "optim.batch_tokens")
    return spec, float(seen + ((spec.init.n_tokens or 0) if spec.init else 0))


def _foreign_model(directory: Path) -> ModelSpec:
    content: dict[str, Any] = read_json(directory / "config.json")
    names = content.get("architectures") or [""]
    settings = {key: value for key, value in content.items() if key not in _NO_SETTINGS}
    vocabulary = settings.pop("vocab_size", None)
    tied = bool(settings.get("tie_word_embeddings", False))
    return complete_shape(
        ModelSpec("hf", hf_class=names[0], hf_config=settings, vocab_size=vocabulary, tied=tied)
    )


def _positions(model: ModelSpec) -> int | None:
    if model.family == "gpt2":
        return model.seq_len
    settings = model.hf_config or {}
    return settings.get("max_position_embeddings") or settings.get("n_positions")


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise StartError(
            f"init_from={name} is no directory here and can't be downloaded: {reason}"
        ) from error
