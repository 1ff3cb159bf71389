"""A Hugging Face dataset, streamed once into local parquet parts, then read like any files."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from train.config.spec import SpecError, canonical_json, require
from train.data.file_io import cache_dir
from train.rundir.atomic import read_json, write_json

PART_DOCUMENTS = 10_000
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubOptions:
    """name: a dataset on the hub, or a local directory; field: the text's column.

    Streaming stops at max_chars characters; revision pins the data where it matters.
    """

    name: str
    config: str | None = None
    split: str = "train"
    field: str = "text"
    revision: str | None = None
    max_chars: float = 1e8

    def __post_init__(self) -> None:
        require(self.max_chars >= 1, f"max_chars={self.max_chars} must be at least 1")


def is_here(options: HubOptions) -> bool:
    """Whether the dataset was downloaded before, so that nothing is fetched by reading it."""
    return (_directory(options) / "done.json").exists()


def fetch(options: HubOptions) -> list[Path]:
    """Parquet parts of the dataset's text, downloaded where missing; continues an interrupted one.

    Raises:  SpecError: no such dataset, configuration, split or field, or no network.
    """
    directory = _directory(options)
    done = directory / "done.json"
    if not done.exists():
        directory.mkdir(parents=True, exist_ok=True)
        n_chars = _download(options, directory)
        write_json(done, {"n_chars": n_chars, **asdict(options)})
    read_json(done)
    return sorted(directory.glob("part-*.parquet"))


def _directory(options: HubOptions) -> Path:
    name = hashlib.sha256(canonical_json(asdict(options)).encode()).hexdigest()[:16]
    return cache_dir() / "hub" / name


def _download(options: HubOptions, directory: Path) -> int:
    """Write the parts that are not there yet; returns the characters that all parts hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = sorted(directory.glob("part-*.parquet"))
    n_documents, n_chars = 0, 0
    for part in parts:
        texts = pq.read_table(part).column("text")
        n_documents += len(texts)
        n_chars += sum(len(text.as_py()) for text in texts)
    stream = _stream(options, skip=n_documents)
    while n_chars < options.max_chars:
        texts = _next_part(stream, options, options.max_chars - n_chars)
        if not texts:
            break
        path = directory / f"part-{len(parts):06d}.parquet"
        pq.write_table(pa.table({"text": texts}), path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
        parts.append(path)
        n_chars += sum(map(len, texts))
        log.info("%s: %d parts, %.3g of %.3g characters", options.name, len(parts), n_chars,
                 options.max_chars)  # fmt: skip
    return n_chars


def _next_part(stream: Iterator[dict[str, Any]], options: HubOptions, wanted: float) -> list[str]:
    texts: list[str] = []
    held = 0
    try:
        for row in stream:
            if options.field not in row:
                raise SpecError(
                    f"dataset {options.name!r} has no field {options.field!r}; "
                    f"it has: {', '.join(row)}"
                )
            texts.append(str(row[options.field]))
            held += len(texts[-1])
            if len(texts) >= PART_DOCUMENTS or held >= wanted:
                break
    except (OSError, ValueError) as error:
        raise _unavailable(options, error) from error
    return texts


def _stream(options: HubOptions, skip: int) -> Iterator[dict[str, Any]]:
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        loaded = datasets.load_dataset(
            options.name,
            options.config,
            split=options.split,
            revision=options.revision,
            streaming=True,
            trust_remote_code=False,
        )
        return iter(loaded.skip(skip) if skip else loaded)
    except (OSError, ValueError, DatasetsError) as error:
        raise _unavailable(options, error) from error


def _unavailable(options: HubOptions, error: Exception) -> SpecError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return SpecError(
        f"dataset {options.name!r} (split {options.split!r}) can't be read: {reason}; "
        f"check the name and the network, or fetch it on a machine that has one"
    )
