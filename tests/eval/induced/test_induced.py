"""Induced emergence at toy size: exact metrics, both metrics from one model, the whole command."""

import csv
import gzip
import itertools
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.induced import __main__ as induced
from eval.induced.datasets import load_images
from eval.induced.files import IDX_FILES, InducedError
from eval.induced.models import all_of_k, autoencoder, classifier, transformer


@pytest.fixture(scope="module")
def images():
    return load_images("digits", Path("data"))


def test_digits_are_split_without_overlap(images) -> None:
    assert len(images.train_x) + len(images.test_x) == 1797
    assert images.n_classes == 10
    assert images.n_pixels == 64
    assert 0 <= images.train_x.min() <= images.train_x.max() <= 1
    again = load_images("digits", Path("data"))
    assert np.array_equal(again.test_x, images.test_x)


def test_all_of_k_counts_subsets() -> None:
    right = [True, True, False, True, True]
    subsets = list(itertools.combinations(right, 3))
    assert all_of_k(4, 5, 3) == pytest.approx(sum(map(all, subsets)) / len(subsets))
    assert all_of_k(2, 5, 3) == 0


def test_wider_models_do_better_by_both_metrics(images) -> None:
    narrow, wide = (autoencoder(images, width, 0, 300, 0.02) for width in (2, 32))
    assert wide["squared_error"] < narrow["squared_error"]
    assert wide["within_c"] > narrow["within_c"]
    narrow, wide = (classifier(images, width, 0, 60, 10) for width in (1, 8))
    assert wide["accuracy"] > narrow["accuracy"]
    assert wide["all_of_k"] > narrow["all_of_k"]
    narrow, wide = (transformer(images, width, 0, 60, 5) for width in (2, 16))
    assert wide["accuracy"] > narrow["accuracy"] + 0.1
    assert wide["all_of_k"] < wide["accuracy"]


def test_a_label_can_t_be_seen_before_it_is_predicted(images) -> None:
    import torch

    from eval.induced.models import SequenceClassifier

    torch.manual_seed(0)
    model = SequenceClassifier(64, 10, 8, 4)
    x, y = torch.rand(1, 4, 64), torch.tensor([[1, 2, 3, 4]])
    changed = y.clone()
    changed[0, 2] = 9
    with torch.no_grad():
        before, after = model(x, y), model(x, changed)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-4)


def test_the_command_writes_table_figures_and_summary(tmp_path: Path, monkeypatch, capsys) -> None:
    small = [replace(e, widths=e.widths[:4], n_steps=5) for e in induced.EXPERIMENTS]
    monkeypatch.setattr(induced, "EXPERIMENTS", tuple(small))
    out = tmp_path / "out"
    induced.main([f"out={out}", "seeds=1"])
    assert capsys.readouterr().out.endswith(f"{out}\n")
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} >= {"within_c", "squared_error", "all_of_k", "accuracy"}
    assert len(rows) == 4 * 2 + 2 * 4 * 3
    assert json.loads((out / "induced.json").read_text())["seeds"] == 1
    assert {path.name for path in out.glob("*.png")} == {
        "autoencoder.png",
        "classifier.png",
        "transformer.png",
    }


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dataset=moons", "dataset=moons is unknown"),
        ("seed=1", "unknown"),
        ("seeds=0", "at least 1"),
    ],
)
def test_bad_settings_are_one_line(argument: str, message: str, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        induced.main([argument, f"out={tmp_path}"])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InducedError, match="has no train-images-idx3-ubyte nor"):
        load_images("mnist", tmp_path)


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def test_a_folder_in_mnists_format_is_read_packed_or_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (30, 6, 5), np.uint8), np.arange(30, dtype=np.uint8) % 3
    arrays = (x[:20], y[:20], x[20:], y[20:])
    for i, (name, values) in enumerate(zip(IDX_FILES, arrays, strict=True)):
        packed = i % 2 == 0
        content = gzip.compress(idx(values)) if packed else idx(values)
        (tmp_path / (name + ".gz" * packed)).write_bytes(content)
    found = load_images("idx", tmp_path)
    assert np.array_equal(found.train_x, (x[:20] / 255).astype(np.float32))
    assert (found.test_y.tolist(), found.n_classes, found.n_pixels) == (y[20:].tolist(), 3, 30)
    assert np.array_equal(load_images("mnist", tmp_path).test_x, found.test_x)
    assert 0 <= classifier(found, 2, 0, 3, 2)["accuracy"] <= 1
    path = tmp_path / IDX_FILES[3]
    for content, message in (
        (idx(y[20:])[:-1], "has 9 bytes of data, its header says"),
        (b"no such format", "is no idx file of unsigned bytes"),
        (idx(y[21:]), "images for"),
    ):
        path.write_bytes(content)
        with pytest.raises(InducedError, match=message):
            load_images("idx", tmp_path)
    path.unlink()
    with pytest.raises(InducedError, match=f"has no {IDX_FILES[3]} nor"):
        load_images("idx", tmp_path)


def test_folders_of_pictures_are_classes(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(3):
        folder = tmp_path / "Latin" / f"character{i:02}"
        folder.mkdir(parents=True)
        for k in range(4):
            paper = np.where(rng.random((105, 105)) < 0.1, 0, 255).astype(np.uint8)
            Image.fromarray(paper).save(folder / f"{k}.png")
    found = load_images("omniglot", tmp_path)
    assert (found.n_classes, len(found.train_x), len(found.test_x)) == (3, 8, 4)
    assert found.train_x.shape[1:] == (28, 28)
    assert found.train_x.mean() == pytest.approx(0.1, abs=0.02), "ink is 1"
    (folder / "9.png").write_text("no picture")
    with pytest.raises(InducedError, match="can't be read as a picture"):
        load_images("omniglot", tmp_path)
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(InducedError, match="has 0 folders of pictures"):
        load_images("omniglot", empty)
