"""Results of checks, written as soon as each is there: one JSON file a check, and report.md."""

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from train.rundir.atomic import write_atomic, write_json

Found = tuple[bool | None, dict[str, Any]]


class NotHereError(Exception):
    """A check that this machine can't make; the message says why."""


@dataclass(frozen=True)
class Result:
    """`status`: pass, fail, skipped (with `reason`), or measured where nothing is expected."""

    name: str
    status: str
    expected: str
    got: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Check:
    """`run` returns whether the expectation holds (None: nothing is judged) and what was found.

    `seconds` is the allowance on an H100, and checks are made in the order of their `turn`.
    """

    name: str
    expected: str
    run: Callable[[], Found]
    turn: int
    seconds: float


def perform(
    checks: list[Check], out: Path, show: Callable[[str], None], budget: float | None = None
) -> list[Result]:
    """Make every check, also where one before it failed, and write each result at once.

    Args:    budget: seconds for all; a check whose allowance is more than is left is skipped, and
             shorter ones behind it are not.
    """
    done: list[Result] = []
    begun = time.perf_counter()
    for check in checks:
        started = time.perf_counter()
        left = None if budget is None else budget - (started - begun)
        try:
            if left is not None and check.seconds > left:
                raise NotHereError(
                    f"{left:.0f} s are left and it may take {check.seconds:.0f}; use minutes=N"
                )
            held, got = check.run()
            status = "measured" if held is None else "pass" if held else "fail"
            result = Result(check.name, status, check.expected, got)
        except NotHereError as error:
            result = Result(check.name, "skipped", check.expected, reason=str(error))
        except Exception as error:
            got = {"traceback": traceback.format_exc()}
            reason = f"{type(error).__name__}: {error}"
            result = Result(check.name, "fail", check.expected, got, reason)
        result = Result(**{**asdict(result), "seconds": round(time.perf_counter() - started, 2)})
        done.append(result)
        write_json(out / f"{check.name}.json", asdict(result))
        write_atomic(out / "report.md", report(done))
        show(f"{result.status:8} {result.name} ({result.seconds:.1f} s) {result.reason}".rstrip())
    return done


def report(results: list[Result]) -> str:
    """All results as a Markdown table, with what was found under it."""
    counts = {
        status: sum(r.status == status for r in results)
        for status in ("pass", "fail", "skipped", "measured")
    }
    lines = [
        "# GPU check",
        "",
        ", ".join(f"{n} {status}" for status, n in counts.items() if n),
        "",
        "| check | result | expected | seconds |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r.name} | {r.status} | {r.expected} | {r.seconds:g} |" for r in results]
    for result in results:
        lines += ["", f"## {result.name}: {result.status}", ""]
        lines += [result.reason] if result.reason else []
        lines += ["```", json.dumps(result.got, indent=1, default=str), "```"]
    return "\n".join(lines) + "\n"
