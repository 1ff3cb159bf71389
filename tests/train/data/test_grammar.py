import math
from collections import Counter

import numpy as np
import pytest

from train.config.resolve import resolve
from train.config.spec import (
    DataSpec,
    HorizonSpec,
    ModelSpec,
    RunSpec,
    SourceSpec,
    SpecError,
    TokenizerSpec,
)
from train.data.dataset import Dataset, describe
from train.data.grammar import Grammar, window_entropy


def entropy_rate(grammar: Grammar) -> float:
    """Nats a character in the long run: (H(class | last class) + H(word | class)) / mean length."""
    per_word = entropy(grammar.transition).mean() + entropy(grammar.word_given_class)
    lengths = np.array([len(word) + 1 for word in grammar.words]).reshape(grammar.n_classes, -1)
    return float(per_word / (lengths @ grammar.word_given_class).mean())


def entropy(rows: np.ndarray) -> np.ndarray:
    return -(rows * np.log(np.where(rows > 0, rows, 1))).sum(axis=-1)


def measured_entropy(grammar: Grammar, n_tokens: int, n_texts: int) -> float:
    """Plug-in entropy of whole windows with the Miller-Madow correction, nats a character."""
    texts = grammar.sample(n_texts, n_tokens + 1, np.random.default_rng(3))
    counts = Counter(text[1:] for text in texts)
    shares = np.array(list(counts.values())) / n_texts
    plug_in = -(shares * np.log(shares)).sum()
    return (plug_in + (len(counts) - 1) / (2 * n_texts)) / n_tokens


@pytest.mark.parametrize(
    "grammar",
    [
        Grammar(n_classes=2, n_words=3, order=0.5),
        Grammar(n_classes=3, n_words=2, order=0.9, zipf=2.0),
        Grammar(n_classes=1, n_words=4, zipf=0.0),
    ],
)
def test_window_entropy_is_that_of_sampled_texts(grammar: Grammar):
    expected = window_entropy(grammar, 6)
    assert measured_entropy(grammar, 6, 200_000) == pytest.approx(expected, rel=0.005)


def test_window_entropy_tends_to_the_rate():
    grammar = Grammar()
    gaps = [window_entropy(grammar, length) - entropy_rate(grammar) for length in (32, 128, 1024)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.005


def test_one_word_is_certain_and_equal_words_are_a_uniform_choice():
    assert entropy_rate(Grammar(n_classes=1, n_words=1)) == 0
    flat = Grammar(n_classes=1, n_words=16, zipf=0.0)
    mean_length = np.mean([len(word) + 1 for word in flat.words])
    assert entropy_rate(flat) == pytest.approx(math.log(16) / mean_length)


def test_words_are_distinct_and_classes_equally_frequent():
    grammar = Grammar(n_classes=4, n_words=50, order=0.8)
    assert len(set(grammar.words)) == 200
    assert grammar.transition.sum(axis=0) == pytest.approx(np.ones(4))
    assert grammar.transition.sum(axis=1) == pytest.approx(np.ones(4))


def test_training_and_validation_texts_differ_and_the_data_knows_its_entropy():
    data = DataSpec(
        parts={"grammar": SourceSpec("grammar", options={"n_words": 8, "n_tokens": 5000})},
        tokenizer=TokenizerSpec("characters", alphabet="abcdefghijklmnopqrstuvwxyz \n"),
        val_tokens=1000,
    )
    requested = RunSpec(
        data=data, horizon=HorizonSpec(n_tokens=3000), model=ModelSpec(d_model=8, seq_len=32)
    )
    spec = resolve(requested, describe(data, 32))
    dataset = Dataset.open(spec)
    assert dataset.entropy == window_entropy(Grammar(n_words=8), 32)
    train = {tuple(row) for step in range(20) for row in dataset.batch(step)[0]}
    val = {tuple(row) for tokens, _ in dataset.val_batches("grammar", 8) for row in tokens}
    assert not train & val
    assert (dataset.batch(0)[0][:, 0] == dataset.batch(1)[0][0, 0]).all()


def test_bad_languages_are_refused():
    with pytest.raises(SpecError, match="order=2"):
        Grammar(order=2)
