"""Named benchmarks asked of one checkpoint: the harness's results as our rows and samples.

`evals/lm_eval-NAMES-KSHOT.json` holds rows as every summary does, and the harness's own results
beside them; `....requests.parquet` every request with the model's answers and the item's scores.
"""

import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.evaluate import LATER, CheckpointRef, weights_of
from eval.harness.rows import FORMAT, rows_of
from eval.lm.load import load_checkpoint
from eval.lm.responses import GenerationSettings
from eval.tasks.generated import TaskError
from train.rundir.atomic import RecordError, read_json, write_atomic, write_json

N_RESAMPLES = 200
"""Of the harness's bootstraps, for standard errors of metrics that are no means."""

_NO_POOL = "DISABLE_MULTIPROC"


@dataclass(frozen=True)
class NamedTasks:
    """Benchmarks by the harness's names, at one number of shots (None: each task's own).

    `include` is a directory of YAML tasks beside the harness's; `limit` the first items alone.
    """

    names: tuple[str, ...]
    n_shots: int | None = None
    include: str | None = None
    limit: int | None = None

    @property
    def label(self) -> str:
        names = "+".join(self.names)
        if len(names) > 80:  # a file's name has at most 255 bytes
            names = f"{len(self.names)}tasks-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
        shots = "" if self.n_shots is None else f"-{self.n_shots}shot"
        return "lm_eval-" + "".join(c if c.isalnum() or c in "+-_." else "_" for c in names) + shots


def named_tasks(task: Mapping[str, Any]) -> list[NamedTasks]:
    """One set of benchmarks per number of shots, from the settings of task=lm_eval.

    Raises:  TaskError: no names, an unknown setting, shots that are no numbers from 0.
    """
    known = {"task", "names", "n_shots", "include", "limit"}
    unknown = sorted(set(task) - known)
    if unknown:
        raise TaskError(f"task.{unknown[0]} is no setting of lm_eval; expected {', '.join(known)}")
    names = tuple(map(str, task.get("names") or ()))
    if not names:
        raise TaskError("task=lm_eval has no names; write task=lm_eval:hellaswag,arc_easy")
    given = task.get("n_shots")
    shots = given if isinstance(given, list | tuple) else [given]
    if not all(one is None or (isinstance(one, int) and one >= 0) for one in shots):
        raise TaskError(f"n_shots={given} must be numbers from 0; for example n_shots=0,5")
    rest = {"include": task.get("include"), "limit": task.get("limit")}
    return [NamedTasks(names, one, **rest) for one in shots]


def installed_version() -> str:
    """The harness's version.

    Raises:  TaskError: it is not installed.
    """
    try:
        import lm_eval
    except ImportError as error:
        raise TaskError(
            "task=lm_eval needs lm-evaluation-harness: pip install 'isoflop[lm-eval]'"
        ) from error
    return str(lm_eval.__version__)


def ask_named(
    target: CheckpointRef,
    sets: Sequence[NamedTasks],
    settings: GenerationSettings,
    device: str = "auto",
    again: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Path]:
    """Ask every set that has no stored result; the summaries' paths, all sets'.

    Raises:  CheckpointError, TaskError: nothing is written for the set that failed.
    """
    version = installed_version()
    paths = [target.out / f"{one.label}.json" for one in sets]
    identities = [_identity(target, one, settings, version) for one in sets]
    due = [i for i, path in enumerate(paths) if again or not _is_done(path, identities[i])]
    if due:
        from eval.harness.model import HarnessModel

        model, vocab = load_checkpoint(
            target.checkpoint, device, settings.bos, target.trust_remote_code, settings.dtype
        )
        lm = HarnessModel(model, vocab, settings.batch_tokens, settings.bos, advance)
        for i in due:
            started = time.perf_counter()
            found = results_of(lm, sets[i], settings)
            seconds = round(time.perf_counter() - started, 3)
            _write(paths[i], target, identities[i], found, seconds)
    return paths


def results_of(
    lm: Any, asked: NamedTasks, settings: GenerationSettings | None = None
) -> dict[str, Any]:
    """What the harness returns: results, configs, n-shot, n-samples, samples.

    Raises:  TaskError: a name that it does not know, a data set that can't be had.
    """
    from lm_eval.evaluator import simple_evaluate

    settings = settings or GenerationSettings()
    try:
        manager = _task_manager(asked)
        unknown = [name for name in asked.names if not _known(manager, name)]
        if unknown:
            raise TaskError(
                f"lm-evaluation-harness has no task {', '.join(unknown)}; `lm_eval ls tasks` lists "
                f"them, task.include=DIR adds YAML files of your own"
            )
        with _quietly():
            found = simple_evaluate(
                model=lm, tasks=list(asked.names), num_fewshot=asked.n_shots, limit=asked.limit,
                task_manager=manager, log_samples=True, bootstrap_iters=N_RESAMPLES,
                random_seed=settings.seed, apply_chat_template=settings.chat_template,
                # As `lm_eval run` has it: shots are turns of their own in a chat.
                fewshot_as_multiturn=bool(settings.chat_template),
                system_instruction=settings.system_prompt,
            )  # fmt: skip
    except TaskError:
        raise
    except Exception as error:  # data sets, templates and metrics raise classes of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise TaskError(
            f"lm-evaluation-harness could not ask {', '.join(asked.names)}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    if found is None:
        raise TaskError("lm-evaluation-harness returned no results")
    return dict(found)


@contextmanager
def _quietly() -> Iterator[None]:
    """The harness without its own talk, and without a pool of processes that import torch each.

    After every set it also starts pip, which takes seconds, to list the machine's packages, and
    git, which prints an error outside of a repository. Neither text is kept.
    """
    from lm_eval import evaluator

    log, asked = (
        logging.getLogger("lm_eval"),
        (evaluator.add_env_info, evaluator.get_git_commit_hash),
    )
    evaluator.add_env_info, evaluator.get_git_commit_hash = lambda storage: None, lambda: ""
    level, before = log.level, os.environ.get(_NO_POOL)
    os.environ[_NO_POOL] = "1"
    # At INFO it names every step; it prints the bootstraps' names where our tables go.
    log.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        evaluator.add_env_info, evaluator.get_git_commit_hash = asked
        log.setLevel(level)
        if before is None:
            del os.environ[_NO_POOL]
        else:
            os.environ[_NO_POOL] = before


def _task_manager(asked: NamedTasks) -> Any:
    """The harness's index of tasks; of `include` alone where it has all names, which is quick."""
    from lm_eval.tasks import TaskManager

    if asked.include is not None:
        own = TaskManager(include_path=asked.include, include_defaults=False)
        if all(_known(own, name) for name in asked.names):
            return own
    return TaskManager(include_path=asked.include)


def _known(manager: Any, name: str) -> bool:
    return name in manager.all_tasks or "*" in name or Path(name).is_file()


def _identity(
    target: CheckpointRef, asked: NamedTasks, settings: GenerationSettings, version: str
) -> dict[str, Any]:
    """What equal results are equal for: weights, tasks with their files, settings, version."""
    files = sorted(Path(asked.include).rglob("*.yaml")) if asked.include else []
    return {
        "lm_eval": version,
        "names": list(asked.names),
        "n_shots": asked.n_shots,
        "limit": asked.limit,
        "include": {
            str(path.relative_to(str(asked.include))): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        },
        "bos": settings.bos,
        "seed": settings.seed,
        "weights": weights_of(target.checkpoint),
    } | {name: getattr(settings, name) for name, default in LATER
         if getattr(settings, name) != default and name != "pmi_prompt"}  # fmt: skip


def _is_done(path: Path, identity: dict[str, Any]) -> bool:
    if not path.exists():
        return False
    try:
        return read_json(path).get("identity") == identity
    except RecordError:
        return False


def _write(
    path: Path,
    target: CheckpointRef,
    identity: dict[str, Any],
    found: Mapping[str, Any],
    seconds: float,
) -> None:
    path.unlink(missing_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(sample_rows(found)), schema=_SAMPLES), sink,
                   compression="zstd")  # fmt: skip
    write_atomic(path.with_suffix(".requests.parquet"), sink.getvalue().to_pybytes())
    kept = ("results", "groups", "group_subtasks", "n-shot", "n-samples", "versions",
            "higher_is_better")  # fmt: skip
    content = {
        "task": ", ".join(identity["names"]),
        "format": FORMAT,
        "checkpoint": Path(target.checkpoint).name,
        "run_id": target.run_id,
        "step": target.step,
        "identity": identity,
        "seconds": seconds,
        "rows": rows_of(found),
        "lm_eval": {name: found[name] for name in kept if name in found},
    }
    write_json(path, json.loads(json.dumps(content, default=str)))


_SAMPLES = pa.schema(
    [
        ("task", pa.string()),
        ("doc_id", pa.int64()),
        ("filter", pa.string()),
        ("target", pa.string()),
        ("arguments", pa.list_(pa.string())),
        ("responses", pa.list_(pa.string())),
        ("filtered", pa.string()),
        ("metrics", pa.string()),
    ]
)
"""One row per item and filter: requests and answers in order, the item's metrics as JSON."""


def sample_rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The harness's samples as rows of `_SAMPLES`."""
    for task, samples in found.get("samples", {}).items():
        for one in samples:
            given = one["arguments"]
            listed = list(given.values()) if isinstance(given, Mapping) else list(given)
            yield {
                "task": task,
                "doc_id": int(one["doc_id"]),
                "filter": str(one.get("filter", "none")),
                "target": str(one.get("target")),
                "arguments": [_json(argument) for argument in listed],
                "responses": [_json(response) for response in one["resps"]],
                "filtered": _json(one.get("filtered_resps")),
                "metrics": _json({name: one.get(name) for name in one.get("metrics", [])}),
            }


def _json(content: Any) -> str:
    return json.dumps(content, default=str, ensure_ascii=False)
