"""Checks of what must hold on any device: numbers, bits, waits, answers."""

from dataclasses import replace
from typing import Any

import torch

from eval.evaluate import CheckpointRef, evaluate_set
from eval.lm.responses import GenerationSettings
from eval.metrics.per_item import Outcome
from eval.samples import read_outcomes
from eval.tasks.eval_set import generated_set
from eval.tasks.generated import TaskSpec
from sweeps.gpu_check.card import Card
from sweeps.gpu_check.results import Check, Found
from train.data.dataset import Dataset
from train.data.prefetch import rank_batch
from train.engine.device import (
    device_versions,
    is_usable,
    make_accelerator,
    released,
    synchronize,
)
from train.engine.optimizer_step import optimizer_step
from train.model.build import SummedLoss, build_model
from train.model.optimizer import build_optimizer
from train.rundir.record import RunPaths, write_job
from train.speed.choice import liger_lacks

TOLERANCE = {"fp32": 1e-4, "bf16": 5e-3}


def checks(card: Card) -> list[Check]:
    """Those of numbers, bits and waits."""
    as_on_cpu = "loss as on the CPU to 1e-4 (fp32) and 5e-3 (bf16)"
    return [
        Check("versions", "torch can compute on the card", lambda: versions(card), 10, 5),
        Check(
            "losses",
            f"{as_on_cpu}: Llama, Qwen3 with fewer heads of keys, GPT-2, text and masked, whole "
            "and in micro-batches",
            lambda: losses(card),
            20,
            60,
        ),
        Check(
            "losses_compiled",
            f"{as_on_cpu}, compiled: the same families and precisions on text, Llama masked",
            lambda: losses_compiled(card),
            90,
            150,
        ),
        Check(
            "resume",
            "the bits of an uninterrupted run, deterministic=true",
            lambda: resume(card),
            30,
            15,
        ),
        Check("waits", "no wait for the device inside a step", lambda: waits(card), 31, 10),
        Check(
            "evaluation",
            "a checkpoint answers every item as on the CPU, log-probabilities to 1e-3",
            lambda: evaluation(card),
            60,
            20,
        ),
    ]


def versions(card: Card) -> Found:
    got = {"card": card.name, "torch": torch.__version__, **device_versions(card.device)}
    return is_usable(), got


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"family": "llama"},
    "qwen3": {"family": "qwen3", "n_heads": 4, "n_kv_heads": 2},
    "gpt2": {"family": "gpt2"},
}


def losses(card: Card) -> Found:
    got: dict[str, Any] = {}
    for data in ("text", "masked"):
        for family in FAMILIES:
            for precision in TOLERANCE:
                ways = [{"micro_batch": None}, {"micro_batch": 3}]
                got |= _against_the_cpu(card, data, family, precision, ways)
            if family == "llama" and not liger_lacks(card.device.type):
                got |= _against_the_cpu(card, data, family, "bf16", [{"loss": "liger"}])
    return all(each["held"] for each in got.values()), got


def losses_compiled(card: Card) -> Found:
    """On a stand-in, for which nothing can compile, as if compiled."""
    way = {"compile": "on" if card.real else "off"}
    got: dict[str, Any] = {}
    for data, families in (("text", list(FAMILIES)), ("masked", ["llama"])):
        for family in families:
            for precision in TOLERANCE:
                got |= _against_the_cpu(card, data, family, precision, [way])
    return all(each["held"] for each in got.values()), got


def _against_the_cpu(
    card: Card, data: str, family: str, precision: str, ways: list[dict[str, Any]]
) -> dict[str, Any]:
    """What each way of running a job on the card gave, by name."""
    job = card.job(data, 20 if card.real else 6, precision=precision, **FAMILIES[family])
    name = f"{data}-{family}-{precision}"
    expected = card.trained(f"{name}-cpu", job, device="cpu").loss
    got = {}
    for runtime in ways:
        way = "-".join([name, *(f"{key}-{value or 'all'}" for key, value in runtime.items())])
        record = card.trained(way, job, **runtime)
        assert expected is not None and record.loss is not None
        apart = abs(record.loss / expected - 1)
        got[way] = {
            "relative_difference": apart,
            "held": apart <= TOLERANCE[precision] and record.device == card.name,
            "device": record.device,
        }
    return got


def resume(card: Card) -> Found:
    """Stopped at the fifteenth step by the signal that a scheduler sends."""
    from train import run

    job = card.job(precision="bf16")
    runtime: dict[str, Any] = {"deterministic": True, "log_every": 5}
    card.trained("whole", job, **runtime)
    asked = run.stop_requests
    run.stop_requests = lambda: _StopAfter(15)  # type: ignore[assignment]
    try:
        run_dir = card.out / "runs" / "parts"
        write_job(run_dir, replace(job, runtime=replace(job.runtime, **runtime)))
        stopped = run.train_run(run_dir)
    finally:
        run.stop_requests = asked
    card.trained("parts", job, **runtime)
    files = [
        RunPaths(card.out / "runs" / name).checkpoint / "model.safetensors"
        for name in ("whole", "parts")
    ]
    same = files[0].read_bytes() == files[1].read_bytes()
    return stopped == "preempted" and same, {"stopped": stopped, "same_weights": same}


def waits(card: Card) -> Found:
    """The loop's own steps in the mode in which a wait is an error, whole and in micro-batches."""
    errors = {}
    for data in ("text", "masked"):
        job = card.job(data, precision="bf16")
        accelerator = make_accelerator(job.runtime, job.spec.precision)
        with released(accelerator):
            model = SummedLoss(build_model(job.spec.model, seed=0)).to(card.device)
            optimizer = build_optimizer(model, job.spec.optim, job.spec.model, card.device.type)
            batch = rank_batch(Dataset.open(job.spec).batch(0), pin=True)
            prepared = accelerator.prepare(model)
            for rows in (None, 3):
                runtime = replace(job.runtime, micro_batch=rows)
                arguments = (batch, job.spec, runtime, prepared, optimizer, accelerator)
                optimizer_step(*arguments)  # the first one sets the moments up
                synchronize(card.device)
                errors[f"{data}-rows-{rows or 'all'}"] = _wait_of(card, *arguments)
    return not any(errors.values()), {"errors": errors}


def _wait_of(card: Card, *arguments: Any) -> str:
    """What the device says of the first wait in a step; empty where there is none."""
    error = ""
    card.module.set_sync_debug_mode("error")
    try:
        optimizer_step(*arguments)
    except RuntimeError as caught:
        error = str(caught)
    finally:
        try:
            card.module.set_sync_debug_mode("default")
        except RuntimeError as caught:  # a stand-in reports at the end
            error = error or str(caught)
    return error


def evaluation(card: Card) -> Found:
    """Held-out sums, answered by the checkpoint of a run on sums."""
    card.trained("evaluated", card.job("masked", 200 if card.real else 20), device="cpu")
    checkpoint = str(RunPaths(card.out / "runs" / "evaluated").checkpoint)
    eval_set = generated_set(TaskSpec(task="addition", digits=2), 200 if card.real else 20)
    answers: dict[str, list[Outcome]] = {}
    for device in ("cpu", card.device.type):
        target = CheckpointRef(checkpoint, card.out / "evals" / device)
        summary = evaluate_set(target, [eval_set], GenerationSettings(), device)[0]
        answers[device] = read_outcomes(summary.with_suffix(".parquet"), eval_set.layout)["heldout"]
    pairs = list(zip(*answers.values(), strict=True))
    gaps = [abs(a - b) for x, y in pairs for a, b in _logprobs(x, y)]
    differing = [one.prompt for one, two in pairs if one.output != two.output]
    got = {"items": len(pairs), "differing": differing, "largest_gap": max(gaps, default=0.0)}
    return bool(gaps) and not differing and got["largest_gap"] <= 1e-3, got


def _logprobs(one: Outcome, two: Outcome) -> list[tuple[float, float]]:
    return list(zip(one.target_logprobs, two.target_logprobs, strict=True))


class _StopAfter:
    """A stop that is asked for at the given step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> "_StopAfter":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0
