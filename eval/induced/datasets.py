"""Small image classification data: scikit-learn's digits, or files where they are present."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.induced.files import InducedError, idx_folder, picture_folders

IDX = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "idx": ""}
"""Sets in MNIST's format, and where torchvision would have put their files."""

DATASETS = ("digits", *IDX, "omniglot", "cifar100")
TEST_SHARE = 1 / 3
MOST_CLASSES = 50
"""Classes of omniglot, which has 1,623 of 20 pictures each."""


@dataclass(frozen=True)
class Images:
    """Images in [0, 1], float32 (n, height, width), with labels 0 ... n_classes-1, split in two."""

    name: str
    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]

    @property
    def n_classes(self) -> int:
        return int(max(self.train_y.max(), self.test_y.max())) + 1

    @property
    def n_pixels(self) -> int:
        return int(np.prod(self.train_x.shape[1:]))


def load_images(name: str, root: Path, seed: int = 0) -> Images:
    """A data set by name; digits comes with scikit-learn, the others must lie in `root`.

    mnist, fashion_mnist and idx are four files in MNIST's format, omniglot folders of pictures.

    Raises:  InducedError: an unknown name, a missing package, or files that are not there.
    """
    if name not in DATASETS:
        raise InducedError(f"dataset={name} is unknown; expected one of {', '.join(DATASETS)}")
    if name == "digits":
        return _digits(seed)
    if not root.is_dir():
        raise InducedError(f"data_dir={root} is no directory; dataset={name} must lie there")
    if name in IDX:
        place = root / IDX[name]
        train, test = idx_folder(place if place.is_dir() else root)
        return Images(name, *train, *test)
    if name == "omniglot":
        return _split(name, *picture_folders(root, MOST_CLASSES), seed)
    return _cifar(name, root)


def _digits(seed: int) -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InducedError(
            "dataset=digits needs scikit-learn; install it with pip install scikit-learn"
        ) from error
    content: Any = load_digits()
    x = (content.images / 16).astype(np.float32)
    y = content.target.astype(np.int64)
    return _split("digits", x, y, seed)


def _split(name: str, x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> Images:
    order = np.random.default_rng(seed).permutation(len(x))
    n_test = round(len(x) * TEST_SHARE)
    test, train = order[:n_test], order[n_test:]
    return Images(name, x[train], y[train], x[test], y[test])


def _cifar(name: str, root: Path) -> Images:
    try:
        from torchvision import datasets  # type: ignore[import-not-found]
    except ImportError as error:
        raise InducedError(
            f"dataset={name} needs torchvision; install it, or use dataset=digits"
        ) from error
    try:
        parts = [datasets.CIFAR100(str(root), train=train, download=False)
                 for train in (True, False)]  # fmt: skip
    except RuntimeError as error:
        raise InducedError(
            f"dataset={name} is not under data_dir={root}; fetch it there with torchvision first"
        ) from error
    arrays = []
    for part in parts:
        x = np.asarray(part.data, dtype=np.float32) / 255
        arrays += [x.mean(axis=3) if x.ndim == 4 else x, np.asarray(part.targets, dtype=np.int64)]
    return Images(name, arrays[0], arrays[1], arrays[2], arrays[3])
