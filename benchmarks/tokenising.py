"""Text to tokens on all cores, beside what `tokenizers` encodes on one core.

    python -m benchmarks.tokenising [megabytes=24]

The text is Python's own library as JSON lines, the tokenizer a byte-level BPE of 8,192 ids trained
on a part of it. The ratio is (bytes a second, reading and writing included) / (cores x bytes a
second of `encode_batch_fast` in one thread). The same ratio by seconds of processor time does not
depend on what else runs on the machine.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from benchmarks.figures import Figure, parse, report

LEAST_RATIO = 0.85
VOCABULARY = 8192


def texts(n_bytes: int) -> list[str]:
    """Modules of Python's library, over again where there are too few."""
    from train.data.sources import _stdlib_files

    found = [path.read_text(encoding="utf-8", errors="replace") for path in _stdlib_files()]
    chosen, held, number = [], 0, 0
    while held < n_bytes:
        # A line of its own makes every repetition other text.
        chosen.append(f"# copy {number // len(found)}\n{found[number % len(found)]}")
        held += len(chosen[-1].encode())
        number += 1
    return chosen


def one_core(codec, documents: list[str]) -> tuple[float, float]:
    """Bytes a second of wall clock and of processor time, in this thread alone."""
    n_bytes = sum(len(text.encode()) for text in documents)
    started, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(documents), 64):
        batch = documents[start : start + 64]
        for encoding in codec.tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            _ = encoding.ids
    return n_bytes / (time.perf_counter() - started), n_bytes / (time.process_time() - cpu)


def prepared(codec, path: Path, n_bytes: int, root: Path) -> tuple[float, float]:
    """The same of preparing a file: read, hashed, tokenised, written, divided."""
    from train.data.prepared.build import ensure_prepared
    from train.data.text_files import FileSource

    source = FileSource("bench", (path,), "text", 65536, rule="tokens")
    before, started = _cpu_seconds(), time.perf_counter()
    ensure_prepared(root, "bench", source, codec)
    seconds = time.perf_counter() - started
    return n_bytes / seconds, n_bytes / (_cpu_seconds() - before)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(arguments: list[str]) -> int:
    settings = parse(arguments, __doc__, ("megabytes",))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from train.config.spec import TokenizerSpec
    from train.data.prepared import encode_pool
    from train.data.tokenizer import build_codec

    documents = texts(int(float(settings.get("megabytes", 24)) * 1e6))
    sample = documents[:: max(1, len(documents) // 100)]

    def training() -> Iterator[str]:
        return iter(sample)

    codec = build_codec(TokenizerSpec("bpe", vocab_size=VOCABULARY), training)
    n_bytes = sum(len(text.encode()) for text in documents)
    cores = encode_pool.usable_cores()
    with (
        tempfile.TemporaryDirectory() as scratch,
        mock.patch.object(encode_pool, "SMALL_BYTES", 0),
        mock.patch.dict(os.environ, ISOFLOP_CACHE=scratch),
    ):
        path = Path(scratch) / "text.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
        # Half of the single core's work before and half after, for machines that slow down.
        first = one_core(codec, documents[::4])
        speed, by_cpu = prepared(codec, path, n_bytes, Path(scratch) / "shards")
        second = one_core(codec, documents[1::4])
    alone, alone_cpu = ((a + b) / 2 for a, b in zip(first, second, strict=True))
    figures = [
        Figure(
            f"tokenising on {cores} cores / ({cores} x tokenizers on one)",
            speed / (cores * alone),
            at_least=LEAST_RATIO,
        ),
        Figure("the same by processor time", by_cpu / alone_cpu),
        Figure("text tokenised", speed / 1e6, "MB/s"),
        Figure("tokenizers on one core", alone / 1e6, "MB/s"),
    ]
    return report(figures, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
