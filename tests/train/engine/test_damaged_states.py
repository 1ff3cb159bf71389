"""Mutated saved states: an intact state's exact weights, none at all, or an error of our own."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from train.engine.checkpoint import CheckpointError, TrainerState, load_state, save_state
from train.rundir.checksums import sha256_of

N_MUTATIONS = int(os.environ.get("ISOFLOP_FUZZ", "50"))
JSON = (b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"", b"\xff", b'{"run_id": 3}', b"9" * 400)
ODD: tuple[object, ...] = (None, -1, 1.5, "x", [], {}, True, 10**30)


def model_of(step: int) -> nn.Module:
    torch.manual_seed(step)
    return nn.Linear(3, 2)


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> Path:
    """Two intact states of run `a`, from steps 1 and 2."""
    root = tmp_path_factory.mktemp("saved")
    for step in (1, 2):
        model = model_of(step)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(3)).sum().backward()
        with torch.no_grad():
            optimizer.step()
            for parameter, kept in zip(
                model.parameters(), model_of(step).parameters(), strict=True
            ):
                parameter.copy_(kept)
        save_state(root, model, optimizer, TrainerState("a", 0, {"step": step}))
    return root


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o077, 0o600), (0o022, 0o644)])
def test_modes_of_a_states_files_follow_the_umask(umask: int, mode: int, tmp_path: Path):
    model = model_of(1)
    former = os.umask(umask)
    try:
        optimizer = torch.optim.AdamW(model.parameters())
        save_state(tmp_path, model, optimizer, TrainerState("a", 0, {"step": 1}))
    finally:
        os.umask(former)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.*")}
    assert len(modes) == 5
    assert set(modes.values()) == {mode}


def damage(directory: Path, rng: np.random.Generator) -> None:
    """One file bent, cut, removed, replaced or added; or one field changed, checksums fitting."""
    path = rng.choice(sorted(directory.iterdir()))
    content = bytearray(path.read_bytes())
    kind = int(rng.integers(6))
    if kind == 0 and content:
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
    elif kind == 1:
        path.write_bytes(content[: int(rng.integers(len(content) + 1))])
    elif kind == 2:
        path.unlink()
    elif kind == 3:
        path.write_bytes(JSON[int(rng.integers(len(JSON)))])
    elif kind == 4:
        (directory / "more").write_bytes(b"x")
    else:
        changed_field(directory, rng)


def changed_field(directory: Path, rng: np.random.Generator) -> None:
    """A field of trainer.json or of the manifest removed or made odd, as another release may."""
    path = directory / str(rng.choice(["trainer.json", "manifest.json"]))
    fields = json.loads(path.read_text())
    key = str(rng.choice(sorted(fields)))
    if rng.random() < 0.3:
        del fields[key]
    else:
        fields[key] = ODD[int(rng.integers(len(ODD)))]
    path.write_text(json.dumps(fields))
    if path.name == "trainer.json":
        manifest = json.loads((directory / "manifest.json").read_text())
        manifest["trainer.json"] = sha256_of(path)
        (directory / "manifest.json").write_text(json.dumps(manifest))


def test_damage_gives_an_intact_state_none_or_our_error(states, tmp_path):
    outcomes = set()
    for seed in range(N_MUTATIONS):
        rng = np.random.default_rng(seed)
        root = tmp_path / str(seed)
        shutil.copytree(states, root)
        for directory in root.iterdir() if rng.random() < 0.3 else [root / "step-000000002"]:
            damage(directory, rng)
        model = model_of(0)
        optimizer = torch.optim.AdamW(model.parameters())
        try:
            state = load_state(root, "a", model, optimizer, metrics=tmp_path / "metrics.jsonl")
        except CheckpointError as error:
            assert str(error)
            outcomes.add("refused")
        else:
            step = state.progress["step"] if state else 0
            outcomes.add(step)
            for found, kept in zip(model.parameters(), model_of(step).parameters(), strict=True):
                assert torch.equal(found, kept), f"mutation {seed}"
        shutil.rmtree(root)
    assert {1, "refused"} <= outcomes


def test_a_manifest_without_a_file_is_damage(states, tmp_path):
    root = tmp_path / "states"
    shutil.copytree(states, root)
    manifest = root / "step-000000002" / "manifest.json"
    manifest.write_text("{}")  # would leave the weights unchecked
    model = model_of(0)
    state = load_state(root, "a", model, torch.optim.AdamW(model.parameters()))
    assert state is not None
    assert state.progress["step"] == 1
