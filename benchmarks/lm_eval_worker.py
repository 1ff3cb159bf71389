"""Runs inside the environment that has lm-evaluation-harness; imports nothing of this project.

python lm_eval_worker.py REQUEST.json RESULT.json
"""

import json
import sys
import time


def main(request_path: str, result_path: str) -> None:
    started = time.perf_counter()
    with open(request_path) as file:
        request = json.load(file)
    import torch

    torch.set_num_threads(request["threads"])
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(
        pretrained=request["checkpoint"],
        device=request["device"],
        batch_size=request["batch_size"],
        dtype="float32",
    )
    manager = TaskManager(include_path=request["tasks_dir"], include_defaults=False)
    loaded = time.perf_counter()
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=["isoflop_generate", "isoflop_score"],
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
    )
    finished = time.perf_counter()
    samples = {
        name: {int(one["doc_id"]): one["resps"] for one in found["samples"][name]}
        for name in ("isoflop_generate", "isoflop_score")
    }
    numbers = range(request["n_items"])
    result = {
        "outputs": [samples["isoflop_generate"][i][0][0] for i in numbers],
        "logprobs": [float(samples["isoflop_score"][i][0][0][0]) for i in numbers],
        "seconds": finished - loaded,
        "startup_seconds": loaded - started,
        "version": lm_eval.__version__,
    }
    with open(result_path, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
