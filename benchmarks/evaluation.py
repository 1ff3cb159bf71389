"""Evaluation against lm-evaluation-harness 0.4.13: same checkpoint, same items, offline.

    python -m venv bench-venv
    bench-venv/bin/pip install lm_eval==0.4.13 torch==2.13.0 transformers==5.23.0 accelerate
    python -m benchmarks.evaluation lm_eval=bench-venv/bin/python [checkpoint=DIR] [n_items=20000]

The harness needs an environment of its own, since its requirements are not this project's. It gets
two local tasks, greedy generation and log-likelihood of the target, at a batch size that suits it;
`python -m eval` answers both in one pass and writes every item. Compared: outputs item by item,
log-likelihoods, and items per second with and without start-up. Without checkpoint= a d64 model
with random weights is made, which answers nonsense but costs the same.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, parse, report
from eval.lm.load import load_checkpoint
from eval.lm.responses import GenerationSettings, answer_items
from eval.metrics.per_item import Outcome
from eval.tasks.eval_set import HELDOUT_SEED
from eval.tasks.generated import TaskSpec, alphabet, heldout_items
from train.commands.imports import imports_that_stay

SPEC = TaskSpec(task="addition", digits=3, format="reversed")
LARGEST_LOGPROB_GAP = 1e-4


@dataclass(frozen=True)
class Timing:
    """Seconds for all items, without and with start-up."""

    warm: float
    cold: float


@dataclass(frozen=True)
class Agreement:
    """Greedy outputs that differ, and the largest gap between log-likelihoods of a target."""

    n_items: int
    n_different: int
    largest_gap: float

    @property
    def holds(self) -> bool:
        return self.n_different == 0 and self.largest_gap <= LARGEST_LOGPROB_GAP


def make_checkpoint(directory: Path) -> Path:
    """A d64 Llama with large random weights and the task's characters as vocabulary."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from train.config.spec import TokenizerSpec
    from train.data.tokenizer import build_codec, save_tokenizer

    codec = build_codec(TokenizerSpec(kind="characters", alphabet=alphabet(SPEC)), lambda: iter(()))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=codec.vocab_size,
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=codec.end_id,
        pad_token_id=codec.end_id,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    save_tokenizer(codec, directory, 64)
    return directory


def run_ours(checkpoint: Path, n_items: int, threads: int) -> tuple[list[Outcome], Timing]:
    """Outcomes with the median time of three passes, and of the whole command in a new process."""
    import torch

    torch.set_num_threads(threads)
    items = heldout_items(SPEC, n_items, HELDOUT_SEED)
    with imports_that_stay():  # as the command has them
        model, vocab = load_checkpoint(str(checkpoint), "cpu")
    passes, outcomes = [], []
    for _ in range(3):
        started = time.perf_counter()
        outcomes = answer_items(model, vocab, items, SPEC.format, GenerationSettings())
        passes.append(time.perf_counter() - started)
    warm = statistics.median(passes)
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        command = [
            sys.executable, "-m", "isoflop", "eval", str(checkpoint), f"task={SPEC.task}",
            f"task.digits={SPEC.digits}", f"task.format={SPEC.format}", f"n_items={n_items}",
            f"threads={threads}", f"out={scratch}",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        cold = time.perf_counter() - started
    return outcomes, Timing(warm, cold)


def run_theirs(
    python: str, checkpoint: Path, outcomes: list[Outcome], threads: int, batch_size: int
) -> tuple[list[str], list[float], Timing]:
    """The harness's outputs and log-likelihoods of the same items, offline."""
    longest = max(len(one.target_tokens) for one in outcomes)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lines = (json.dumps({"prompt": o.prompt, "target": o.target}) for o in outcomes)
        (root / "items.jsonl").write_text("\n".join(lines) + "\n")
        for name, text in _task_files(root / "items.jsonl", longest + 5).items():
            (root / name).write_text(text)
        request = {
            "checkpoint": str(checkpoint), "tasks_dir": scratch, "n_items": len(outcomes),
            "threads": threads, "device": "cpu", "batch_size": batch_size,
        }  # fmt: skip
        (root / "request.json").write_text(json.dumps(request))
        worker = Path(__file__).with_name("lm_eval_worker.py")
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": f"{scratch}/hf"}
        started = time.perf_counter()
        done = subprocess.run(
            [python, str(worker), str(root / "request.json"), str(root / "result.json")],
            env=os.environ | offline | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
        )
        cold = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"lm-evaluation-harness failed:\n{done.stderr[-2000:]}")
        result = json.loads((root / "result.json").read_text())
    return result["outputs"], result["logprobs"], Timing(result["seconds"], cold)


def _task_files(items: Path, max_new_tokens: int) -> dict[str, str]:
    """YAML of a generation and a log-likelihood task over a local file."""
    common = (
        "dataset_path: json\n"
        f"dataset_kwargs:\n  data_files:\n    test: {items}\n"
        "test_split: test\n"
        'doc_to_text: "{{prompt}}"\n'
        'doc_to_target: "{{target}}"\n'
        'target_delimiter: ""\n'
    )
    generate = (
        "task: isoflop_generate\noutput_type: generate_until\n"
        'generation_kwargs:\n  until: ["\\n"]\n  do_sample: false\n'
        f"  max_gen_toks: {max_new_tokens}\n"
        "metric_list:\n  - metric: exact_match\n"
    )
    score = "task: isoflop_score\noutput_type: loglikelihood\nmetric_list:\n  - metric: acc\n"
    return {"generate.yaml": common + generate, "score.yaml": common + score}


def compare(outcomes: list[Outcome], outputs: list[str], logprobs: list[float]) -> Agreement:
    """Item by item; log-likelihoods leave the stop token out, as the harness does."""
    ours = np.array([sum(one.target_logprobs[:-1]) for one in outcomes])
    different = sum(one.output != other for one, other in zip(outcomes, outputs, strict=True))
    return Agreement(len(outcomes), different, float(np.abs(ours - np.array(logprobs)).max()))


TIMES_FASTER, TIMES_WITH_STARTUP = 20.0, 8.0
RATIO = "evaluation / lm-evaluation-harness, without start-up"


def main(arguments: list[str]) -> int:
    given = parse(arguments, __doc__, ("lm_eval", "checkpoint", "n_items", "threads", "batch_size"))
    n_items, threads = int(given.get("n_items", 20_000)), int(given.get("threads", 1))
    batch_size = int(given.get("batch_size", 256))
    with tempfile.TemporaryDirectory() as scratch:
        named = given.get("checkpoint")
        checkpoint = Path(named).resolve() if named else make_checkpoint(Path(scratch))
        outcomes, ours = run_ours(checkpoint, n_items, threads)
        print(f"here: {n_items / ours.warm:,.0f} items/s, {n_items / ours.cold:,.0f} with start-up")
        if "lm_eval" not in given:
            note = "lm_eval=PYTHON is not given; --help says how to set it up"
            return report([Figure(RATIO, None, "x", TIMES_FASTER, note=note)], given)
        outputs, logprobs, theirs = run_theirs(
            given["lm_eval"], checkpoint, outcomes, threads, batch_size
        )
    agreement = compare(outcomes, outputs, logprobs)
    print(
        f"lm_eval: {n_items / theirs.warm:,.0f} items/s, {n_items / theirs.cold:,.0f} with start-up"
    )
    print(f"faster: {theirs.warm / ours.warm:.1f} x, {theirs.cold / ours.cold:.1f} x with start-up")
    print(
        f"agreement: {agreement.n_items - agreement.n_different} of {agreement.n_items} outputs "
        f"equal, log-likelihoods within {agreement.largest_gap:.1e}"
    )
    figures = [
        Figure(RATIO, theirs.warm / ours.warm, "x", TIMES_FASTER),
        Figure("the same with start-up", theirs.cold / ours.cold, "x", TIMES_WITH_STARTUP),
        Figure("outputs that differ", float(agreement.n_different), at_most=0),
        Figure("gap of log-likelihoods", agreement.largest_gap, at_most=LARGEST_LOGPROB_GAP),
    ]
    return report(figures, given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
