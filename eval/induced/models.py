"""Three small vision models whose scale varies, each measured by a sharp and a smooth metric.

Nothing about a metric is learned: both are read off the same trained model's test outputs.
"""

from collections.abc import Callable
from math import comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eval.induced.datasets import Images

Metrics = dict[str, float]


def autoencoder(images: Images, width: int, seed: int, n_steps: int, c: float) -> Metrics:
    """A one-hidden-layer autoencoder of bottleneck `width` on flattened images.

    within_c: share of test images with mean squared pixel error below c (sharp);
    squared_error: its mean (smooth).
    """
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(images.n_pixels, width),
        nn.Tanh(),
        nn.Linear(width, images.n_pixels),
        nn.Sigmoid(),
    )
    x = _flat(images.train_x)

    def loss(rows: Tensor) -> Tensor:
        return ((model(x[rows]) - x[rows]) ** 2).mean()

    _train(model, loss, len(x), n_steps, seed)
    with torch.no_grad():
        test = _flat(images.test_x)
        error = ((model(test) - test) ** 2).mean(dim=1).numpy()
    return {"within_c": float(np.mean(error < c)), "squared_error": float(np.mean(error))}


def classifier(images: Images, width: int, seed: int, n_steps: int, k: int) -> Metrics:
    """A convolutional classifier with `width` and 2 x `width` channels.

    all_of_k: probability that k test images drawn without replacement are all right (sharp);
    accuracy and cross_entropy of one (smooth).
    """
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * width, images.n_classes),
    )  # fmt: skip
    x, y = torch.from_numpy(images.train_x)[:, None], torch.from_numpy(images.train_y)

    def loss(rows: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x[rows]), y[rows])

    _train(model, loss, len(x), n_steps, seed)
    with torch.no_grad():
        logits = model(torch.from_numpy(images.test_x)[:, None])
        target = torch.from_numpy(images.test_y)
        entropy = float(nn.functional.cross_entropy(logits, target))
        right = (logits.argmax(1) == target).numpy()
    return {
        "all_of_k": all_of_k(int(right.sum()), len(right), k),
        "accuracy": float(right.mean()),
        "cross_entropy": entropy,
    }


class SequenceClassifier(nn.Module):
    """Reads image, label, image, label, ... and predicts each label behind its image, causally."""

    def __init__(self, n_pixels: int, n_classes: int, width: int, length: int) -> None:
        super().__init__()
        self.image = nn.Linear(n_pixels, width)
        self.label = nn.Embedding(n_classes, width)
        self.position = nn.Parameter(0.02 * torch.randn(2 * length, width))
        layer = nn.TransformerEncoderLayer(
            width, 1, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (batch, length, classes) of images x (batch, length, pixels) and labels y."""
        pairs = torch.stack([self.image(x), self.label(y)], dim=2)
        sequence = pairs.flatten(1, 2) + self.position
        mask = nn.Transformer.generate_square_subsequent_mask(sequence.shape[1])
        return self.head(self.body(sequence, mask=mask, is_causal=True)[:, 0::2])


def transformer(images: Images, width: int, seed: int, n_steps: int, k: int) -> Metrics:
    """An autoregressive transformer of model width `width` over sequences of k labelled images.

    all_of_k: share of test sequences with every label right (sharp); accuracy and cross_entropy of
    one label (smooth).
    """
    torch.manual_seed(seed)
    model = SequenceClassifier(images.n_pixels, images.n_classes, width, k)
    x, y = _flat(images.train_x), torch.from_numpy(images.train_y)

    def loss(rows: Tensor) -> Tensor:
        own = rows[: len(rows) // k * k].view(-1, k)
        logits = model(x[own], y[own])
        return nn.functional.cross_entropy(logits.flatten(0, 1), y[own].flatten())

    _train(model, loss, len(x), n_steps, seed, batch=32 * k)
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.integers(0, len(images.test_y), (2000, k)))
    test_x, test_y = _flat(images.test_x), torch.from_numpy(images.test_y)
    with torch.no_grad():
        logits = model(test_x[rows], test_y[rows])
        entropy = float(nn.functional.cross_entropy(logits.flatten(0, 1), test_y[rows].flatten()))
        right = (logits.argmax(2) == test_y[rows]).numpy()
    return {
        "all_of_k": float(right.all(axis=1).mean()),
        "accuracy": float(right.mean()),
        "cross_entropy": entropy,
    }


def all_of_k(n_right: int, n: int, k: int) -> float:
    """P(k of n items drawn without replacement are all right) = C(n_right, k) / C(n, k): exact."""
    return comb(n_right, k) / comb(n, k)


def _flat(x: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(x).flatten(1)


def _train(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    n_rows: int,
    n_steps: int,
    seed: int,
    batch: int = 128,
) -> None:
    """AdamW with a cosine schedule on rows drawn at random; the same for every width."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        rows = torch.randint(0, n_rows, (batch,), generator=generator)
        optimizer.zero_grad()
        loss(rows).backward()
        optimizer.step()
        schedule.step()
