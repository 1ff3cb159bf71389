"""Images from a folder: MNIST's format (idx, packed or not), and Omniglot's (a folder a class)."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.config.spec import IsoflopError

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Images and labels for training, then for the test."""

_UBYTE = 8
"""The type code of unsigned bytes, the only one that MNIST and its kin use."""

SIDE = 28
"""Pixels of a side that pictures are brought to: Omniglot's 105 would make the toy models slow."""

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


class InducedError(IsoflopError):
    """A data set or setting that the experiments can't use."""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an idx file, unpacked where it is gzip.

    Raises:  InducedError: unreadable, another format, or another length than its header says.
    """
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InducedError(f"{path} can't be read: {error}") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, _UBYTE)):
        raise InducedError(
            f"{path} is no idx file of unsigned bytes: it begins with {content[:4].hex()}, "
            f"expected 000008 and the number of dimensions"
        )
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start]) if len(content) >= start else ()
    if len(content) - start != int(np.prod(shape, dtype=np.int64)):
        raise InducedError(
            f"{path} has {len(content) - start} bytes of data, its header says {shape}; copy it "
            f"again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_folder(root: Path) -> tuple[Arrays, Arrays]:
    """Training and test images in [0, 1] with their labels, of a folder with `IDX_FILES`.

    Raises:  InducedError: a file is missing or malformed, or images and labels differ in number.
    """
    found = []
    for name in IDX_FILES:
        paths = [root / (name + end) for end in ("", ".gz")]
        there = next((path for path in paths if path.is_file()), None)
        if there is None:
            raise InducedError(
                f"{root} has no {name} nor {name}.gz; expected {', '.join(IDX_FILES)}, as MNIST "
                f"and Fashion-MNIST come"
            )
        found.append(read_idx(there))
    pairs = []
    for (x, y), name in zip((found[:2], found[2:]), IDX_FILES[::2], strict=True):
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or not len(x):
            raise InducedError(
                f"{root}/{name} holds {x.shape} images for {y.shape} labels; expected "
                f"(n, height, width) for (n,)"
            )
        pairs.append((x.astype(np.float32) / 255, y.astype(np.int64)))
    return pairs[0], pairs[1]


def picture_folders(root: Path, most_classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pictures under a folder, (n, SIDE, SIDE) with ink 1 on 0; each folder with some is a class.

    Args:    most_classes: The first so many folders in order of their names.
    Raises:  InducedError: fewer than two classes, or a picture that can't be read.
    """
    from PIL import Image, UnidentifiedImageError

    pictures = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in PICTURES)
    by_class: dict[Path, list[Path]] = {}
    for path in pictures:
        by_class.setdefault(path.parent, []).append(path)
    if len(by_class) < 2:
        raise InducedError(
            f"{root} has {len(by_class)} folders of pictures ({', '.join(PICTURES)}); expected at "
            f"least 2, one a class, as images_background of Omniglot has"
        )
    x, y = [], []
    for label, folder in enumerate(list(by_class)[:most_classes]):
        for path in by_class[folder]:
            try:
                with Image.open(path) as picture:
                    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
            except (OSError, UnidentifiedImageError) as error:
                raise InducedError(f"{path} can't be read as a picture: {error}") from error
            x.append(np.asarray(grey, np.float32) / 255)
            y.append(label)
    images = np.stack(x)
    # Strokes are few pixels: where paper is light, it is turned dark, as in MNIST.
    return (1 - images if images.mean() > 0.5 else images), np.array(y, np.int64)
