"""A Hugging Face checkpoint, directory or hub name, loaded for evaluation."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from eval.lm.tokenization import Vocabulary, vocabulary
from train.config.spec import IsoflopError
from train.rundir.checksums import CHECKSUMS, checksum_problem

_END_BYTES = 65536


class CheckpointError(IsoflopError):
    """A checkpoint that can't be loaded."""


DTYPES = ("auto", "float32", "bfloat16", "float16")
"""auto: float32 on a processor, so that equal checkpoints give equal numbers on all of them, whose
speed in 16 bits differs; on a GPU the type of the stored weights, or float32 where that is bfloat16
and the GPU only emulates it."""


def load_checkpoint(
    name: str,
    device: str = "auto",
    bos: str = "auto",
    trust_remote_code: bool = False,
    dtype: str = "auto",
) -> tuple[Any, Vocabulary]:
    """Model in evaluation mode, and vocabulary.

    Args:
        dtype: Number type of the weights, one of `DTYPES`.
        trust_remote_code: Run Python files that come with the checkpoint. Without it an
            architecture that transformers has is loaded with its own code, another one is refused.

    Raises:  CheckpointError: no such directory or hub name, no network, no tokenizer, bad files,
             or code that is not to be run.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = _device(device)
    if _looks_like_path(name) and not (Path(name) / "config.json").is_file():
        raise CheckpointError(
            f"checkpoint={name} is no Hugging Face model directory (no config.json in it); "
            f"give a directory such as RUN_DIR/checkpoint, or a hub name"
        )
    if not Path(name).is_dir():
        _check_hub(name)
    elif problem := checksum_problem(Path(name)):
        raise CheckpointError(
            f"checkpoint={name} is damaged: {problem}; restore it, train the run again, or delete "
            f"{CHECKSUMS} there if it was changed on purpose"
        )
    vocab = vocabulary(_tokenizer(name, trust_remote_code), bos)
    try:
        # Any: the pair is declared as the model alone
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=_dtype(dtype, place),
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
        )
    except Exception as error:  # of a torn file: safetensors and others have errors without a root
        reason = _untrusted(error) or _misfit(error) or f"can't be loaded: {_reason(error)}"
        raise CheckpointError(f"checkpoint={name} {reason}") from error
    model, info = loaded
    _check_complete(name, info)
    _mask_unknown_ids(model, vocab)
    if dtype == "auto" and model.dtype == torch.bfloat16 and not _multiplies_bf16(place):
        model = model.float()
    return model.to(place).eval(), vocab


def _dtype(name: str, place: torch.device) -> Any:
    if name == "auto":
        return torch.float32 if place.type == "cpu" else "auto"
    return getattr(torch, name)


def _multiplies_bf16(place: torch.device) -> bool:
    return place.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _mask_unknown_ids(model: Any, vocab: Vocabulary) -> None:
    """No probability for ids that the tokenizer lacks: vocabularies are padded for speed."""
    n_known = max(vocab.tokenizer.get_vocab().values()) + 1
    if model.config.vocab_size <= n_known:
        return

    def mask(module: Any, given: Any, output: Any) -> Any:
        output.logits[..., n_known:] = -torch.inf
        return output

    model.register_forward_hook(mask)


def _check_complete(name: str, info: dict[str, Any]) -> None:
    """Refuse weights that fill the model in part: transformers draws the others at random."""
    missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    if not missing and not unexpected:
        return
    found = [f"missing {_listed(missing)}"] if missing else []
    found += [f"unexpected {_listed(unexpected)}"] if unexpected else []
    prefix = _common_prefix(missing, unexpected)
    fix = (
        f"the names carry the prefix {prefix!r} (a compiled or wrapped module); save the state "
        f"dict without it"
        if prefix
        else "check that config.json and the weights are of one model, head included"
    )
    raise CheckpointError(
        f"checkpoint={name}: its weights do not all load ({'; '.join(found)}), expected every "
        f"parameter of the architecture in config.json; {fix}"
    )


def _common_prefix(missing: list[str], unexpected: list[str]) -> str:
    """What stands before every missing name in the file: `_orig_mod.` of a compiled module."""
    if not missing or not unexpected:
        return ""
    first = next((key for key in unexpected if key.endswith(missing[0])), "")
    prefix = first.removesuffix(missing[0])
    return prefix if {prefix + key for key in missing} <= set(unexpected) else ""


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{len(keys)}: {', '.join(keys[:3])}{more}"


def fingerprint(checkpoint: Path) -> str:
    """Identity of a checkpoint directory: names, sizes, and both ends of the content of its files.

    Weights of two trainings differ everywhere, so 64 KiB from each end tell them apart.
    Raises:  CheckpointError: a file can't be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(checkpoint.glob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    size = path.stat().st_size
                    digest.update(f"{path.name} {size}".encode() + file.read(_END_BYTES))
                    file.seek(max(0, size - _END_BYTES))
                    digest.update(file.read(_END_BYTES))
    except OSError as error:
        raise CheckpointError(f"checkpoint={checkpoint} can't be read: {error}") from error
    return digest.hexdigest()[:16]


def _check_hub(name: str) -> None:
    """Fail at once, in one line, for a hub name that is neither cached nor reachable.

    The loaders themselves would retry for most of a minute and log every attempt.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return
        HfApi().model_info(name, timeout=10)
    except HFValidationError as error:
        raise CheckpointError(f"checkpoint={name} is neither a directory nor a hub name") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise CheckpointError(_unreachable(name, error)) from error
    except Exception as error:  # the HTTP client's own error classes vary with its version
        if "http" not in type(error).__module__:
            raise
        raise CheckpointError(_unreachable(name, error)) from error


def _unreachable(name: str, error: Exception) -> str:
    return (
        f"checkpoint={name} is no directory here, not in the local Hugging Face cache, and the hub "
        f"can't provide it ({_reason(error)}); give a directory, or check the name and the network"
    )


def _untrusted(error: Exception) -> str:
    """What to do about a checkpoint that loads only with code of its own; "" for other errors."""
    if "trust_remote_code" not in str(error):
        return ""
    return (
        "brings Python code of its own, which is not run; read it, and pass trust_remote_code=true "
        "if you would run it"
    )


def _misfit(error: Exception) -> str:
    """What is wrong where weights have other shapes; transformers names a setting of its own."""
    if "ignore_mismatched_sizes" not in str(error):
        return ""
    return (
        "has weights of other shapes than config.json says; check that both are of one model (the "
        "report above lists the shapes)"
    )


def _tokenizer(name: str, trust_remote_code: bool) -> Any:
    """The tokenizer, loaded first so that a hub name without network fails soon and quietly."""
    from transformers import AutoTokenizer

    if _looks_like_path(name) and not list(Path(name).glob("tokenizer*")):
        raise CheckpointError(
            f"checkpoint={name} has no tokenizer files; save one there with "
            f"tokenizer.save_pretrained({name!r})"
        )
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
    except Exception as error:  # the Rust library raises plain ones
        reason = _untrusted(error) or f"can't be loaded: {_reason(error)}"
        raise CheckpointError(f"checkpoint={name}: its tokenizer {reason}") from error


def _looks_like_path(name: str) -> bool:
    return Path(name).exists() or name.startswith(("/", "./", "../", "~")) or name.count("/") > 1


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"device={name} can't be used: {_reason(error)}; expected auto, cpu, cuda or cuda:N"
        ) from error


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__
