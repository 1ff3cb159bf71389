"""Slurm's commands as other programs see them: run with a time limit, asked again where that helps.

A busy or restarting controller fails every command for a moment. A question is asked again
after any error, since it changes nothing; what changes something is asked again by its caller, who
knows whether it may have been done all the same.
"""

import logging
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from train.config.spec import IsoflopError

COMMAND_SECONDS = 60.0
"""Slurm's own time limit for one message is 10 s (MessageTimeout); its commands try several."""

WAITS = (1.0, 3.0, 8.0)
"""Seconds before a command is tried again: together about as long as a controller takes to restart
or a backup controller to notice (SlurmctldTimeout is longer, but nobody waits two minutes for a
status)."""

NOT_REACHED = re.compile(r"unable to contact|connection refused|connect failure|standby mode", re.I)
"""Errors of a command that never reached the controller: nothing was done."""

_UNCLEAR = re.compile(
    r"timed out|zero bytes|transport|temporarily|try again|communication|unexpected message", re.I
)
"""Errors after which the controller may or may not have done what it was asked."""

_FINAL = re.compile(
    r"invalid|configuration source|access/permission denied|storage is disabled", re.I
)
"""Errors of a question that another try would only repeat."""

log = logging.getLogger(__name__)


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
    def not_reached(self) -> bool:
        """Whether the controller was never asked, so that asking again is safe."""
        return not self.ok and NOT_REACHED.search(self.stderr) is not None

    @property
    def unclear(self) -> bool:
        """Whether the controller may have done what it was asked, though the command failed."""
        if self.code is None:
            return True
        return not self.ok and not self.not_reached and _UNCLEAR.search(self.stderr) is not None

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
        raise MissingError(
            f"{command[0]} can't be run on this machine: {error.strerror or error}"
        ) from error
    return Answer(answer.returncode, answer.stdout, answer.stderr)


def question(command: list[str]) -> Answer:
    """Ask what changes nothing, again after a while where it fails.

    Raises:
        MissingError: It is not installed here.
    """
    return _again(command, lambda answer: not answer.ok and not _FINAL.search(answer.stderr))


def persuade(command: list[str]) -> Answer:
    """Ask for what may be done twice without harm, again where the controller is out of reach.

    Raises:
        MissingError: It is not installed here.
    """
    return _again(command, lambda answer: answer.not_reached or answer.unclear)


def _again(command: list[str], worth_it: Callable[[Answer], bool]) -> Answer:
    answer = ask(command)
    for wait in WAITS:
        if not worth_it(answer):
            break
        log.info("%s failed (%s); again in %g s", command[0], answer.reason, wait)
        time.sleep(wait)
        answer = ask(command)
    return answer


def output(command: list[str]) -> str | None:
    """What a question's answer was; None where the command is missing or keeps failing."""
    try:
        answer = question(command)
    except MissingError:
        return None
    return answer.stdout if answer.ok else None
