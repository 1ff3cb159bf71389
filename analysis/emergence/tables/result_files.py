"""Result files of lm-evaluation-harness and of BIG-bench, as they were written, as score rows."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.reading.formats import decoded
from analysis.data.table_error import TableError

_STDERR_95 = 1.959964
MOST_BYTES = 200 * 2**20


def result_paths(path: Path) -> list[Path]:
    """The result files at a path: itself, or every JSON file below a directory, sorted."""
    return sorted(path.rglob("*.json")) if path.is_dir() else [path]


def result_rows(path: Path) -> list[dict[str, Any]] | None:
    """Score rows of one file; None where it is a result file of neither harness."""
    if path.suffix.lower() != ".json" or path.stat().st_size > MOST_BYTES:
        return None
    try:
        content = json.loads(decoded(path.read_bytes(), str(path)))
    except (ValueError, RecursionError, OSError, TableError):
        return None
    if not isinstance(content, Mapping):
        return None
    if _is_lm_eval(content):
        return list(_lm_eval_rows(content))
    if _is_big_bench(content):
        return list(_big_bench_rows(content))
    return None


def results_frame(paths: Sequence[Path], source: str) -> tuple[pd.DataFrame, list[str]] | None:
    """Rows of all result files among the paths, and lines about them; None where there are none."""
    found, others = [], []
    for path in paths:
        rows = result_rows(path)
        if rows is None:
            others.append(path.name)
        else:
            found += rows
    if not found:
        return None
    note = f"{len(paths) - len(others)} result files of lm-evaluation-harness or BIG-bench"
    if others:
        note += f"; {len(others)} other files of {source} were not read ({', '.join(others[:3])})"
    return pd.DataFrame(found), [note]


def _is_lm_eval(content: Mapping[str, Any]) -> bool:
    results = content.get("results")
    if not isinstance(results, Mapping) or not results:
        return False
    told = {"config", "configs", "versions", "n-shot", "config_general"} & content.keys()
    return bool(told) and all(isinstance(scores, Mapping) for scores in results.values())


def _lm_eval_rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """`results`: {task: {"metric,filter": value, "metric_stderr,filter": error}}."""
    config = _mapping(content, "config")
    model = content.get("model_name") or _argument(config, "pretrained") or config.get("model")
    shots, samples = _mapping(content, "n-shot"), _mapping(content, "n-samples")
    configs = _mapping(content, "configs")
    for task, scores in content["results"].items():
        one = _mapping(configs, task)
        n_shots = shots.get(task, one.get("num_fewshot"))
        for key, value in scores.items():
            name, _, used = str(key).partition(",")
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if name.endswith("_stderr") or name in ("alias", "sample_len"):
                continue
            error = scores.get(f"{name}_stderr,{used}" if used else f"{name}_stderr")
            half = _STDERR_95 * error if isinstance(error, int | float) else None
            yield {
                "model": model,
                "task": task,
                "metric": name if used in ("", "none") else f"{name} ({used})",
                "value": value,
                "ci_low": None if half is None else value - half,
                "ci_high": None if half is None else value + half,
                "n_shots": n_shots,
                "n_items": _mapping(samples, task).get("effective"),
                "n_params": config.get("model_num_parameters"),
                "chance": _chance(one, name),
            }


def _chance(config: Mapping[str, Any], metric: str) -> float | None:
    """1 / number of choices, where every item of a task has the same list of them."""
    choices = config.get("doc_to_choice")
    if metric in ("acc", "acc_norm") and isinstance(choices, list) and choices:
        return 1 / len(choices)
    return None


def _argument(config: Mapping[str, Any], name: str) -> str | None:
    given = config.get("model_args")
    if isinstance(given, Mapping):
        return given.get(name)
    found = re.search(rf"(?:^|,){name}=([^,]+)", given) if isinstance(given, str) else None
    return found[1] if found else None


def _is_big_bench(content: Mapping[str, Any]) -> bool:
    scores = content.get("scores")
    return (
        isinstance(content.get("model"), Mapping)
        and isinstance(scores, list)
        and all(isinstance(one, Mapping) and "score_dict" in one for one in scores)
    )


def _big_bench_rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """`scores`: records with score_dict, preferred_score, number_of_shots, low and high score."""
    model = content["model"]
    about = _mapping(content, "task") or _mapping(content, "task_metadata")
    task = about.get("task_name") or about.get("name") or ""
    for scores in content["scores"]:
        subtask = str(scores.get("subtask_description") or "")
        name = subtask if not task or task in subtask else f"{task}: {subtask}"
        for metric, value in scores["score_dict"].items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            preferred = metric == scores.get("preferred_score")
            yield {
                "model": model.get("model_name"),
                "family": model.get("model_family"),
                "n_params": model.get("total_params") or model.get("non_embedding_params"),
                "task": name.removesuffix(": ") or task,
                "metric": metric,
                "value": value,
                "n_shots": scores.get("number_of_shots"),
                # BIG-bench's low score is what random choices get, of the preferred metric alone.
                "chance": scores.get("low_score") if preferred else None,
            }


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}
