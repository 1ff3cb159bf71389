"""`isoflop push DIR REPO`: a sweep's checkpoints and tables to Hugging Face's hub."""

import sys
from dataclasses import dataclass
from pathlib import Path

from sweeps.manage.push import Revision, upload, write_folder
from train.commands.command_line import Command, run_command, text_override
from train.config.cli import UsageError


@dataclass(frozen=True)
class PushConfig:
    """The keys of conf/push.yaml.

    `repo` is NAME/REPO on the hub; `dry_run` writes the folder that would go, to `out` (default:
    push/ in the sweep), and sends nothing; `private` repositories are made where there are none.
    """

    sweep: str | None = None
    repo: str | None = None
    dry_run: bool = False
    private: bool = True
    out: str | None = None


def main(config: PushConfig, overrides: list[str]) -> int:
    """Write the folder and, unless it is a dry run, send it."""
    if config.sweep is None or config.repo is None:
        raise UsageError(
            "expected a sweep's directory and a repository: isoflop push DIR NAME/REPO"
        )
    root = Path(config.sweep)
    out = Path(config.out) if config.out else root / "push"
    revisions = write_folder(root, config.repo, out)
    if not config.dry_run:
        upload(revisions, config.private, _say)
    did = "would go" if config.dry_run else "went"
    print(f"{len(revisions)} revisions {did} to {config.repo} and {config.repo}-tables\n{out}")
    return 0


def _say(one: Revision) -> None:
    print(f"sent {one.kind} {one.repo} at {one.revision}", flush=True)


def paths(given: list[str], verb: str | None) -> list[str]:
    """The sweep's directory and the repository as overrides.

    Raises:  UsageError: there are more.
    """
    if len(given) > 2:
        raise UsageError(f"got {', '.join(given)}; expected a directory and NAME/REPO")
    keys = ("sweep", "repo")
    return [text_override(key, path) for key, path in zip(keys, given, strict=False)]


COMMAND = Command(
    name="push",
    module="isoflop.push",
    description="Upload a sweep: checkpoints as revisions with cards, tables as a data set.",
    config_name="push",
    config=PushConfig,
    run=main,
    arguments="DIR NAME/REPO",
    paths=paths,
)

if __name__ == "__main__":
    run_command(COMMAND, sys.argv[1:], "python -m isoflop.push")
