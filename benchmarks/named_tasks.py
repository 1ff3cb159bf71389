"""Our model class against lm-evaluation-harness's own, on local tasks of every kind of request.

    python -m benchmarks.named_tasks [n_items=400] [batch_size=1] [batch_tokens=N] [width=64]
                                     [layers=2] [vocabulary=14] [threads=1] [checkpoint=DIR]

Both run in one process, on the same checkpoint (made with random weights unless one is named) and
the same YAML tasks; processor times leave loading out. `lm_eval run` asks one item at a time unless
it is given a batch_size, and so does this; ours is as `isoflop eval` has it unless batch_tokens is
given. Needs the extra lm-eval. Compared: every response of
every item, and seconds of each kind of request.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, parse, report

LARGEST_GAP = 1e-5
TIMES_FASTER = 5.0
NAMES = ("digits_generate", "digits_score", "digits_rolling", "digits_choices", "digits_shots")


def make_checkpoint(directory: Path, width: int, layers: int, vocabulary: int) -> Path:
    """A Llama with random weights over the tasks' characters; ids beyond them stand unused."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from train.config.spec import TokenizerSpec
    from train.data.tokenizer import build_codec, save_tokenizer

    codec = build_codec(
        TokenizerSpec(kind="characters", alphabet="0123456789+=\n"), lambda: iter(())
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=max(codec.vocab_size, vocabulary), hidden_size=width,
        intermediate_size=width * 43 // 16, num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64), max_position_embeddings=256,
        initializer_range=0.1 if width > 128 else 0.3,
        bos_token_id=None, eos_token_id=codec.end_id, pad_token_id=codec.end_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    save_tokenizer(codec, directory, 256)
    return directory


def numbers(content: Any) -> list[float]:
    """Every number of a harness response, truth values as 0 and 1; a text as its characters."""
    if isinstance(content, list | tuple):
        return [value for one in content for value in numbers(one)]
    if isinstance(content, str) and content not in ("True", "False"):
        try:
            return [float(content)]
        except ValueError:
            return [float(ord(c)) for c in content]
    return [float(content in (True, "True")) if content in (True, False, "True", "False")
            else float(content)]  # fmt: skip


def gaps(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[int, float, int]:
    """Items compared, the largest relative gap of a number, and responses of another shape."""
    n_items, largest, unlike = 0, 0.0, 0
    for task, samples in theirs["samples"].items():
        mine = {one["doc_id"]: numbers(one["resps"]) for one in ours["samples"][task]}
        for one in samples:
            expected, found = numbers(one["resps"]), mine[one["doc_id"]]
            n_items += 1
            if len(expected) != len(found):
                unlike += 1
                continue
            for a, b in zip(expected, found, strict=True):
                largest = max(largest, abs(a - b) / max(1.0, abs(a)))
    return n_items, largest, unlike


def main(arguments: list[str]) -> int:
    sizes = {"n_items": 400, "batch_size": 1, "threads": 1, "width": 64, "layers": 2,
             "vocabulary": 14}  # fmt: skip
    given = parse(arguments, __doc__, (*sizes, "checkpoint", "batch_tokens"))
    sizes |= {name: int(given[name]) for name in sizes if name in given}
    what = f"named tasks / lm-evaluation-harness's own model at batch {sizes['batch_size']}"
    try:
        import torch
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        note = "pip install 'isoflop[lm-eval]'"
        return report([Figure(what, None, "x", TIMES_FASTER, note=note)], given)
    from eval.harness.ask import NamedTasks, results_of
    from eval.harness.model import HarnessModel
    from eval.lm.load import load_checkpoint
    from tests.support.harness_tasks import write_tasks

    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    torch.set_num_threads(sizes["threads"])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        made = (sizes["width"], sizes["layers"], sizes["vocabulary"])
        checkpoint = given.get("checkpoint") or str(make_checkpoint(root / "model", *made))
        tasks = write_tasks(root / "tasks", sizes["n_items"])
        asked = [NamedTasks((name,), include=str(tasks)) for name in NAMES]
        model, vocab = load_checkpoint(checkpoint, "cpu")
        harness: Any = HFLM
        most = int(given["batch_tokens"]) if "batch_tokens" in given else None
        lms = {
            "ours": HarnessModel(model, vocab, most),
            "theirs": harness(
                pretrained=checkpoint,
                device="cpu",
                dtype="float32",
                batch_size=sizes["batch_size"],
            ),
        }
        seconds: dict[str, float] = dict.fromkeys(lms, 0.0)
        compared, largest, unlike = 0, 0.0, 0
        for one in asked:
            found, spent = {}, []
            for name, lm in lms.items():
                timed = Timed(lm)
                found[name] = results_of(timed.lm, one)
                seconds[name] += timed.seconds
                spent.append(timed.seconds)
            print(f"{one.names[0]:16}{spent[0]:7.2f} s here {spent[1]:7.2f} s there "
                  f"{spent[1] / spent[0]:6.1f} x", flush=True)  # fmt: skip
            n, gap, other = gaps(found["ours"], found["theirs"])
            compared, largest, unlike = compared + n, max(largest, gap), unlike + other
    figures = [
        Figure(what, seconds["theirs"] / seconds["ours"], "x", TIMES_FASTER,
               note=f"{compared} items"),
        Figure("largest relative gap of a response", largest, at_most=LARGEST_GAP),
        Figure("responses of another shape", float(unlike), at_most=0),
    ]  # fmt: skip
    return report(figures, given)


class Timed:
    """Processor seconds of serving requests, without the harness's own work."""

    def __init__(self, lm: Any) -> None:
        self.lm, self.seconds = lm, 0.0
        for kind in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
            setattr(lm, kind, self._timed(getattr(type(lm), kind).__get__(lm)))

    def _timed(self, serve: Any) -> Any:
        def served(requests: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return serve(requests, **options)
            finally:
                self.seconds += time.process_time() - started

        return served


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
