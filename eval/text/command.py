"""task=text and task=continuation: running text scored by each checkpoint of a sweep, or by one."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eval.config import EvalConfig
from eval.evaluate import Advance, CheckpointRef
from eval.lm.load import fingerprint, load_checkpoint
from eval.lm.tokenization import Vocabulary
from eval.metrics.aggregate import Measurement
from eval.tasks.generated import TaskError
from eval.text.bits_per_byte import TextScores, by_domain, score_documents
from eval.text.continuation import Continuations, answer_windows, draw_windows, measurements
from eval.text.documents import ALL, TextDocument
from eval.text.inputs import Documents, Strata
from eval.text.settings import TextTask, text_task
from train.config.spec import SpecError
from train.rundir.atomic import RecordError, read_json, write_atomic, write_json

VERSION = 1

Rows = list[tuple[str, Measurement]]
"""(domain or stratum, what was measured)"""


def evaluate_text(
    config: EvalConfig, targets: Sequence[CheckpointRef], advance: Advance
) -> dict[str, list[str]]:
    """Score every checkpoint and write its summary; failures by reason, with the checkpoints.

    For continuations the reference comes first, since its loss sorts the items of all.
    """
    task, failed = text_task(config.task), {}
    sorter = Strata(config, task, targets)
    documents = Documents(config, task)
    for target in targets:
        try:
            _evaluate(config, task, target, documents.of(target), sorter)
        except (TaskError, SpecError, RecordError, OSError) as error:
            failed.setdefault(str(error), []).append(target.checkpoint)
        advance(1)
    return failed


def _evaluate(
    config: EvalConfig,
    task: TextTask,
    target: CheckpointRef,
    documents: list[TextDocument],
    sorter: Strata,
) -> None:
    identity = _identity(config, task, target, documents)
    label = f"{task.task}-{hashlib.sha256(str(identity['asked']).encode()).hexdigest()[:8]}"
    path = target.out / f"{label}.json"
    if path.exists() and not config.overwrite and read_json(path).get("identity") == identity:
        return
    started = time.perf_counter()
    model, vocab = load_checkpoint(
        target.checkpoint, config.device, config.bos, target.trust_remote_code, config.dtype
    )
    run: Callable[..., tuple[str, Rows, dict[str, Any]]] = (
        _text if task.task == "text" else _continuation
    )
    form, rows, more = run(config, task, model, vocab, documents, sorter, path)
    split = "heldout" if config.path is None else "test"
    summary = {
        "task": task.task,
        "format": form,
        "n_shots": 0,
        "checkpoint": Path(target.checkpoint).name,
        "run_id": target.run_id,
        "step": target.step,
        "identity": identity,
        "seconds": round(time.perf_counter() - started, 3),
        **more,
        "rows": [
            {"task": task.task, "operands": part, "format": form, "n_shots": 0, "split": split}
            | {k: _finite(v) for k, v in dataclasses.asdict(one).items()}
            for part, one in rows
        ],
    }
    write_json(path, summary)


def _text(
    config: EvalConfig,
    task: TextTask,
    model: Any,
    vocab: Vocabulary,
    documents: list[TextDocument],
    sorter: Strata,
    path: Path,
) -> tuple[str, Rows, dict[str, Any]]:
    context = task.context or _context(model)
    stride = task.stride or context // 2
    scores = score_documents(model, vocab, documents, context, stride, config.batch_tokens)
    write_atomic(path.with_suffix(".documents.parquet"), _table(scores))
    rows = [(name, one) for name, found in by_domain(scores).items() for one in found]
    return f"context {context}, stride {stride}", rows, {"n_documents": len(documents)}


def _continuation(
    config: EvalConfig,
    task: TextTask,
    model: Any,
    vocab: Vocabulary,
    documents: list[TextDocument],
    sorter: Strata,
    path: Path,
) -> tuple[str, Rows, dict[str, Any]]:
    longest = max(task.lengths)
    context = task.context or 64
    if context + longest > _context(model):
        raise TaskError(
            f"task.context={context} and {longest} tokens to predict exceed the checkpoint's "
            f"context of {_context(model)}; lower task.context for all checkpoints"
        )
    texts = vocab.encode([document.text for document in documents])
    windows = draw_windows(texts, context, longest, config.n_items, config.seed)
    reference, stratum = sorter.of(windows, context)
    found = answer_windows(model, windows, context, config.batch_tokens)
    groups = {ALL: np.ones(len(windows), bool)}
    if task.strata > 1:
        groups |= {f"stratum {i + 1} of {task.strata}": stratum == i for i in range(task.strata)}
    rows = [
        (name, one)
        for name, own in groups.items()
        for one in measurements(_chosen(found, own), task.lengths)
    ]
    more = {"reference": reference, "n_items": len(windows)}
    return f"context {context}", rows, more


def _chosen(found: Continuations, own: np.ndarray) -> Continuations:
    return Continuations(*(getattr(found, f.name)[own] for f in dataclasses.fields(found)))


def _context(model: Any) -> int:
    return int(getattr(model.config, "max_position_embeddings", None) or 2048)


def _identity(
    config: EvalConfig, task: TextTask, target: CheckpointRef, documents: list[TextDocument]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for one in documents:
        digest.update(f"{one.domain}\0{one.name}\0{one.text}\0".encode("utf-8", "surrogatepass"))
    checkpoint = Path(target.checkpoint)
    asked = {
        **dataclasses.asdict(task),
        "lengths": list(task.lengths),
        "documents": digest.hexdigest()[:16],
        "n_items": config.n_items if task.task == "continuation" else None,
        "seed": config.seed,
        "bos": config.bos,
        "version": VERSION,
    } | ({} if config.dtype == "auto" else {"dtype": config.dtype})
    weights = fingerprint(checkpoint) if checkpoint.is_dir() else target.checkpoint
    return {"asked": asked, "weights": weights}


def _table(scores: TextScores) -> bytes:
    columns = {f.name: list(getattr(scores, f.name)) for f in dataclasses.fields(scores)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
