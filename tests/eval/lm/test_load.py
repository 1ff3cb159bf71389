"""Checkpoints whose weights do not fill the model are refused; others load as they are."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from eval.lm.load import CheckpointError, load_checkpoint
from eval.lm.responses import GenerationSettings, answer_items
from eval.tasks.generated import TaskError
from eval.tasks.prompt_formats import Item
from isoflop.__main__ import main as command_line
from tests.support.tiny_checkpoint import save_checkpoint
from train.rundir.checksums import write_checksums

Weights = dict[str, Any]


def rewritten(directory: Path, change: Callable[[Weights], Weights]) -> str:
    """The tiny checkpoint with other weights in its file."""
    path = save_checkpoint(directory) / "model.safetensors"
    changed = {key: value.contiguous() for key, value in change(load_file(path)).items()}
    save_file(changed, path, metadata={"format": "pt"})
    return str(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: {f"_orig_mod.{key}": value for key, value in w.items()},
            r"unexpected 21: _orig_mod\..* prefix '_orig_mod.'",
        ),
        (
            lambda w: {key: value for key, value in w.items() if key != "lm_head.weight"},
            r"missing 1: lm_head\.weight\), .* head included",
        ),
        (
            lambda w: {key.replace("mlp", "ffn"): value for key, value in w.items()},
            r"missing 6: model\.layers\.0\.mlp.* and 3 more; unexpected 6: model\.layers\.0\.ffn",
        ),
        (
            lambda w: w | {"v_head.weight": w["lm_head.weight"].clone()},
            r"unexpected 1: v_head\.weight",
        ),
    ],
    ids=["compiled", "no head", "another architecture", "further weights"],
)
def test_weights_that_do_not_all_load_are_refused(
    tmp_path: Path, change: Callable[[Weights], Weights], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(rewritten(tmp_path, change), "cpu")


def test_weights_of_other_shapes_are_refused_in_words_of_the_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(CheckpointError, match=r"weights of other shapes than config\.json says"):
        load_checkpoint(str(tmp_path), "cpu")


def test_complete_weights_load(tmp_path: Path) -> None:
    model, _ = load_checkpoint(rewritten(tmp_path, lambda w: w), "cpu")
    assert model.config.vocab_size == 14


def test_a_flipped_bit_is_found_by_its_checksum_and_named(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path) / "model.safetensors"
    write_checksums(tmp_path)
    load_checkpoint(str(tmp_path), "cpu")
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not as it was written"):
        load_checkpoint(str(tmp_path), "cpu")


@pytest.fixture
def with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of an architecture that its own Python file has, which notes that it ran.

    Whoever is asked at the terminal answers yes.
    """
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    modules = str(tmp_path / "modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", modules)
    monkeypatch.setattr("sys.path", [*sys.path, modules])
    directory = save_checkpoint(tmp_path / "mine")
    (directory / "own_model.py").write_text(
        "from pathlib import Path\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own_kind'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    path = directory / "config.json"
    names = {"AutoConfig": "own_model.OwnConfig", "AutoModelForCausalLM": "own_model.OwnModel"}
    changed = {"model_type": "own_kind", "architectures": ["OwnModel"], "auto_map": names}
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    return directory


def test_code_of_a_checkpoint_is_refused_without_a_question(with_code: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not run; read it, .*trust_remote_code=true"):
        load_checkpoint(str(with_code), "cpu")
    assert not (with_code.parent / "ran").exists()


def test_code_of_a_checkpoint_is_run_where_it_is_asked_for_by_name(with_code: Path) -> None:
    out = with_code.parent / "out"
    words = ["eval", str(with_code), "task=addition", "task.digits=1", "n_items=2", f"out={out}"]
    with pytest.raises(SystemExit, match=r"^0$"):
        command_line([*words, "device=cpu", "trust_remote_code=true"])
    assert (with_code.parent / "ran").exists()
    [summary] = out.glob("*.json")
    assert json.loads(summary.read_text())["identity"]["settings"]["trust_remote_code"]


def test_code_that_comes_with_a_known_architecture_is_not_run(with_code: Path) -> None:
    path = with_code / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "llama"}))
    model, _ = load_checkpoint(str(with_code), "cpu")
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not (with_code.parent / "ran").exists()


@pytest.mark.parametrize("sums", [True, False], ids=["with checksums", "of an earlier release"])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"\0" * 300, None], ids=["empty", "zeros", "cut"])
def test_a_torn_file_is_an_error_of_its_checkpoint(
    tmp_path: Path, name: str, content: bytes | None, sums: bool
) -> None:
    path = save_checkpoint(tmp_path) / name
    if sums:
        write_checksums(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(CheckpointError, match=f"checkpoint={tmp_path}"):
        load_checkpoint(str(tmp_path), "cpu")


def test_the_number_type_is_as_asked_and_float32_on_a_processor(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    name = str(save_checkpoint(tmp_path))
    AutoModelForCausalLM.from_pretrained(name).bfloat16().save_pretrained(name)
    stored = AutoModelForCausalLM.from_pretrained(name, dtype="auto")
    assert stored.dtype == torch.bfloat16
    for asked, dtype in (
        ("auto", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16),
    ):  # fmt: skip
        model, vocab = load_checkpoint(name, "cpu", dtype=asked)
        assert model.dtype == dtype
        items = [Item("1+1=", "2", "", ("2", "46", "35"), (1.0, 0.0, 0.0))]
        (one,) = answer_items(model, vocab, items, "plain", GenerationSettings(pmi_prompt="1"))
        assert len(one.choice_base_logprobs) == 3
        assert all(math.isfinite(value) for value in one.choice_logprobs)
    with pytest.raises(TaskError, match="dtype='int8' is unknown"):
        GenerationSettings(dtype="int8")
