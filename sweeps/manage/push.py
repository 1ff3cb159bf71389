"""A sweep's checkpoints and tables as repositories of Hugging Face's hub: the folder that goes.

One model repository, whose revisions are the checkpoints, each with its card; its main revision
lists them. One data set of the tables. The folder is written in full before anything is sent, with
links instead of copies where the disk can, so that `dry_run` shows what a push sends.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.config.spec import IsoflopError
from train.rundir.atomic import BAD_JSON, read_json, write_atomic
from train.rundir.model_card import TAGS, model_card
from train.rundir.record import RunPaths, read_job, read_record
from train.rundir.sweep_layout import SweepPaths, fits_file, run_dirs

TABLES = ("runs", "curves", "evals")


class PushError(IsoflopError):
    """A sweep that can't be uploaded, or a hub that does not take it."""


@dataclass(frozen=True)
class Revision:
    """One folder that goes to one revision of a repository."""

    repo: str
    kind: str
    revision: str
    folder: Path


def write_folder(root: Path, repo: str, out: Path) -> list[Revision]:
    """Write everything that goes to the hub below `out`, and say where each folder goes.

    Raises:  PushError: no finished run has a checkpoint; StoreError: no sweep there.
    """
    if out.exists():
        shutil.rmtree(out)
    exponents = _exponents(root)
    made, listed = [], []
    for run_dir in run_dirs(root):
        for name, checkpoint in _checkpoints(run_dir):
            folder = out / "models" / name
            _linked(checkpoint, folder)
            line = _write_card(run_dir, folder, exponents)
            made.append(Revision(repo, "model", name, folder))
            listed.append(f"| {name} | {line} |")
    if not made:
        raise PushError(f"{root} has no finished run with a checkpoint; train and launch it first")
    main = out / "models" / "main"
    main.mkdir(parents=True)
    write_atomic(main / "README.md", _index(root, repo, listed, exponents))
    tables = out / "tables"
    tables.mkdir()
    paths = SweepPaths(root)
    fits = fits_file(root)
    found = [*(paths.table(name) for name in TABLES), paths.config, *([fits] if fits else [])]
    for path in found:
        if path.exists():
            shutil.copy2(path, tables / path.name)
    write_atomic(tables / "README.md", _tables_card(root, repo))
    return [
        Revision(repo, "model", "main", main),
        *made,
        Revision(f"{repo}-tables", "dataset", "main", tables),
    ]


def upload(revisions: list[Revision], private: bool, told: Callable[[Revision], None]) -> None:
    """Send every folder to its revision, making repositories and revisions that are not there.

    Raises:  PushError: the hub does not answer or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        for repo, kind in dict.fromkeys((one.repo, one.kind) for one in revisions):
            api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        for one in revisions:
            if one.revision != "main":
                api.create_branch(one.repo, branch=one.revision, repo_type=one.kind, exist_ok=True)
            api.upload_folder(
                repo_id=one.repo,
                folder_path=one.folder,
                repo_type=one.kind,
                revision=one.revision,
                commit_message=f"{one.revision} of an isoflop sweep",
            )
            told(one)
    except (OSError, HfHubHTTPError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise PushError(
            f"the hub did not take it: {reason}; log in (hf auth login), check the name, and run "
            f"the command again, which sends only what is missing"
        ) from error


def _checkpoints(run_dir: Path) -> list[tuple[str, Path]]:
    """Revision names and directories of a finished run's checkpoints."""
    record, paths = read_record(run_dir), RunPaths(run_dir)
    if record is None or not paths.checkpoint.is_dir():
        return []
    others = sorted((run_dir / "checkpoints").glob("*"))
    return [
        (record.name, paths.checkpoint),
        *((f"{record.name}-{path.name}", path) for path in others if path.is_dir()),
    ]


def _linked(source: Path, target: Path) -> None:
    """The files of a checkpoint under another folder; its checksums would be of another card."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name in ("README.md", "SHA256SUMS"):
            continue
        try:
            os.link(path, target / path.name)
        except OSError:
            shutil.copy2(path, target / path.name)


def _write_card(run_dir: Path, folder: Path, exponents: str) -> str:
    """Write a checkpoint's card, and return its line in the list of revisions."""
    job = read_job(run_dir)
    try:
        facts = read_json(folder / "isoflop.json")
        step, loss = int(facts["step"]), facts["loss"]
    except (IsoflopError, KeyError, TypeError, ValueError) as error:
        raise PushError(f"{run_dir} has a checkpoint without its isoflop.json: {error}") from error
    write_atomic(folder / "README.md", model_card(run_dir, job, step, loss, exponents))
    shown = "" if loss is None else f"{loss:.5f}"
    return f"{step:,} | {shown}"


def _exponents(root: Path) -> str:
    """What the sweep's fits say of N_opt ~ C^a and D_opt ~ C^b, as a Markdown table."""
    path = fits_file(root)
    if path is None:
        return ""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, *BAD_JSON):
        return ""
    rows = [
        f"| {name} | {fit['a']:.4f} | {fit['b']:.4f} | {fit.get('status', '')} |"
        for name, fit in content.items()
        if isinstance(fit, dict)
        and all(isinstance(fit.get(key), int | float) for key in ("a", "b"))
    ]
    head = "| approach | a (N ~ C^a) | b (D ~ C^b) | status |\n|---|---|---|---|\n"
    return head + "\n".join(rows) if rows else ""


def _index(root: Path, repo: str, listed: list[str], exponents: str) -> str:
    tags = "".join(f"- {tag}\n" for tag in TAGS)
    lines = "\n".join(listed)
    fitted = f"\n## Scaling laws\n\n{exponents}\n" if exponents else ""
    return (
        f"---\nlibrary_name: transformers\ntags:\n{tags}---\n\n# {root.name}\n\nEach revision is a "
        f"checkpoint of one sweep: `AutoModelForCausalLM.from_pretrained('{repo}', "
        f"revision=NAME)`. Its tables are the data set {repo}-tables.\n\n"
        f"| revision | step | loss |\n|---|---|---|\n{lines}\n{fitted}"
    )


def _tables_card(root: Path, repo: str) -> str:
    tags = "".join(f"- {tag}\n" for tag in TAGS)
    return (
        f"---\ntags:\n{tags}---\n\n# Tables of {root.name}\n\nruns.parquet has a line per run, "
        f"curves.parquet the training curves, evals.parquet the evaluations; sweep.yaml is what "
        f"was asked for, fits.json what was fitted. The checkpoints are the revisions of {repo}.\n"
    )
