"""The user's command at the end of a launch (mail, chat), with the outcome in its environment.

The command is split into words as a shell would, and no shell reads it or what it is told: names
and messages come from files, and reach it as values of variables alone.
"""

import os
import shlex
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sweeps.directory.run_state import RunState, read_state

END_SECONDS = 120.0
"""How long the command may take: a mail server that does not answer must not hold a launch."""


def run_on_end(
    command: str | None, name: str, root: Path, run_dirs: Sequence[Path], why: str = ""
) -> str:
    """Run the command, if there is one; returns what went wrong with it, or "".

    Args:
        name: Of the sweep.
        run_dirs: The runs of the launch.
        why: What ended the launch early, "" where nothing did.
    """
    if not command:
        return ""
    states = [read_state(path) for path in run_dirs]
    try:
        answer = subprocess.run(
            shlex.split(command),
            env={**os.environ, **end_environment(name, root, states, why)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"launcher.on_end={command!r} failed: {error}"
    if answer.returncode:
        said = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
        return f"launcher.on_end={command!r} ended with status {answer.returncode}" + (
            f": {said[-1]}" if said else ""
        )
    return ""


def end_environment(
    name: str, root: Path, states: Sequence[RunState], why: str = ""
) -> dict[str, str]:
    """What the command is told: ISOFLOP_STATUS is finished, failed, or stopped (before its end)."""
    counts = Counter(state.status for state in states)
    n_done = sum(state.done for state in states)
    status = "stopped" if why else "finished" if n_done == len(states) else "failed"
    listed = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    first = next((s for s in states if not s.done and s.note), None)
    reason = why or (f"{first.name}: {first.note}" if first is not None else "")
    return {
        "ISOFLOP_SWEEP": name,
        "ISOFLOP_ROOT": str(root.resolve()),
        "ISOFLOP_STATUS": status,
        "ISOFLOP_N_RUNS": str(len(states)),
        "ISOFLOP_N_DONE": str(n_done),
        "ISOFLOP_N_FAILED": str(len(states) - n_done - counts["planned"] - counts["running"]),
        "ISOFLOP_MESSAGE": f"{name}: {n_done} of {len(states)} runs done ({listed})"
        + (f"; {reason}" if reason else ""),
    }
