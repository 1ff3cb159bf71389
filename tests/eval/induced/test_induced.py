"""Induced emergence at toy size: exact metrics, both metrics from one model, the whole command."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.induced import __main__ as induced
from eval.induced.datasets import InducedError, load_images
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


def test_torchvision_sets_need_torchvision_and_files(tmp_path: Path) -> None:
    with pytest.raises(InducedError, match=r"torchvision|data_dir"):
        load_images("mnist", tmp_path)
