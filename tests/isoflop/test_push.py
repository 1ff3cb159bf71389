"""What goes to Hugging Face's hub, and that it goes there."""

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard

from isoflop.push import COMMAND, PushConfig, main
from sweeps.manage import push as push_module
from sweeps.manage.push import PushError
from tests.support.hub_server import running_hub
from tests.support.sweep_fixtures import make_sweep
from train.commands.command_line import translate
from train.config.cli import load_config


def sweep(root: Path) -> Path:
    """Two runs of four are finished; one of them has an averaged checkpoint too."""
    finished = make_sweep(root, n_done=2)[:2]
    kept = (["checkpoint"], ["checkpoint", "checkpoints/ema"])
    for run_dir, names in zip(finished, kept, strict=True):
        for name in names:
            (run_dir / name).mkdir(parents=True)
            facts = {"run_id": "x", "step": 5, "loss": 2.5}
            (run_dir / name / "isoflop.json").write_text(json.dumps(facts))
            (run_dir / name / "config.json").write_text("{}")
    (root / "sweep.yaml").write_text("sweep: {}\n")
    (root / "analysis").mkdir()
    fits = {"parametric": {"a": 0.46, "b": 0.54, "status": "converged"}, "counting": "exact"}
    (root / "analysis/fits.json").write_text(json.dumps(fits))
    return root


def test_a_dry_run_writes_every_checkpoint_with_its_card_and_the_tables(tmp_path, capsys):
    root = sweep(tmp_path / "x")
    assert main(PushConfig(str(root), "me/repo", dry_run=True), []) == 0
    assert "5 revisions would go to me/repo" in capsys.readouterr().out
    models = root / "push/models"
    names = {path.name for path in models.iterdir()}
    assert len(names) == 4 and {"main", "iso-1e10-d32-s0-ema"} <= names
    card = ModelCard.load(models / "iso-1e10-d32-s0" / "README.md")
    assert card.data.tags == ["scaling-laws", "isoflop"]
    for words in ("tokens D", "training FLOPs C", "2.50000", "| parametric | 0.4600 | 0.5400 |"):
        assert words in card.text
    assert "iso-1e10-d32-s0-ema" in (models / "main/README.md").read_text()
    assert {p.name for p in (root / "push/tables").iterdir()} >= {"sweep.yaml", "fits.json"}


def test_a_push_sends_what_a_dry_run_writes(tmp_path, monkeypatch):
    root = sweep(tmp_path / "x")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with running_hub() as hub:
        endpoint = f"http://127.0.0.1:{hub.server_port}"
        monkeypatch.setattr(
            "huggingface_hub.HfApi", lambda: HfApi(endpoint=endpoint, token="hf_test")
        )
        main(PushConfig(str(root), "me/repo"), [])
        assert hub.repos == {("model", "me/repo"), ("dataset", "me/repo-tables")}
        sent = {
            (kind, repo, revision): set(files)
            for (kind, repo, revision), files in hub.files.items()
        }
        written = {
            ("model", "me/repo", folder.name): {path.name for path in folder.iterdir()}
            for folder in (root / "push/models").iterdir()
        }
        tables = {path.name for path in (root / "push/tables").iterdir()}
        assert sent == written | {("dataset", "me/repo-tables", "main"): tables}
        hub.refuses = True
        with pytest.raises(PushError, match="the hub did not take it"):
            main(PushConfig(str(root), "me/repo"), [])


def test_a_sweep_without_checkpoints_is_refused(tmp_path):
    make_sweep(tmp_path, n_done=0)
    with pytest.raises(PushError, match="no finished run with a checkpoint"):
        push_module.write_folder(tmp_path, "me/repo", tmp_path / "push")


def test_words_are_the_sweep_and_the_repository():
    overrides = translate(COMMAND, ["results/x", "me/repo", "dry_run=true"]).overrides
    config = load_config(COMMAND.config_name, overrides, PushConfig)
    assert (config.sweep, config.repo, config.dry_run) == ("results/x", "me/repo", True)
