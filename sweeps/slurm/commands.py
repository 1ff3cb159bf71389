"""Slurm's commands as other programs see them: run with a time limit, and their answer kept."""

import subprocess
from dataclasses import dataclass

from train.config.spec import IsoflopError

COMMAND_SECONDS = 60.0
"""Slurm's own time limit for one message is 10 s (MessageTimeout); its commands try several."""


class SlurmError(IsoflopError):
    """Slurm is not there, or refused what it was asked."""


class MissingError(SlurmError):
    """There is no such command on this machine."""


@dataclass(frozen=True)
class Answer:
    """What a command printed; `code` is None where it did not end in time."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def reason(self) -> str:
        """Why it failed: the last error that the command printed, or how it ended."""
        if self.code is None:
            return f"no answer within {COMMAND_SECONDS:g} s"
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        return (errors or lines or [f"exit status {self.code}"])[-1]


def ask(command: list[str]) -> Answer:
    """Run a command once.

    Raises:
        MissingError: It is not installed here, or can't be executed.
    """
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", "")
    except OSError as error:
        raise MissingError(f"{command[0]} can't be run here: {error.strerror or error}") from error
    return Answer(answer.returncode, answer.stdout, answer.stderr)
