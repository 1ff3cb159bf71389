"""A synthetic language whose entropy is known exactly, so that a fit's E can be checked.

Construction: K word classes follow each other by a doubly stochastic Markov chain, so every class
is equally frequent in the long run. Each class has its own list of words, drawn by Zipf's law;
lists are disjoint, so a word tells its class. A text is a start mark and then words, each ended by
a space. The word given the past has entropy H(class | last class) + H(word | class), and the text
has that many nats for every word's mean length. Rare words are learned late, common ones early.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.config.spec import require

START = "\n"
SPACE = " "
LETTERS = "abcdefghijklmnopqrstuvwxyz"
GRAMMAR_VERSION = 1


@dataclass(frozen=True)
class Grammar:
    """The language's size: classes, words a class, Zipf exponent, and how fixed the order is.

    `order` = 0 lets any class follow any; 1 makes the next class certain.
    """

    n_classes: int = 8
    n_words: int = 64
    zipf: float = 1.0
    order: float = 0.7
    language_seed: int = 0

    def __post_init__(self) -> None:
        require(self.n_classes >= 1, f"n_classes={self.n_classes} must be at least 1")
        require(1 <= self.n_words <= 5000, f"n_words={self.n_words} must lie in 1..5000")
        require(self.zipf >= 0, f"zipf={self.zipf} must be >= 0")
        require(0 <= self.order <= 1, f"order={self.order} must lie in [0, 1]")

    @cached_property
    def words(self) -> list[str]:
        """All words, class by class, most frequent first; shape (n_classes * n_words,)."""
        rng = np.random.default_rng(self.language_seed)
        found: dict[str, None] = {}
        total = self.n_classes * self.n_words
        while len(found) < total:
            length = 1 + int(np.log(2 + len(found)) / np.log(8)) + int(rng.integers(0, 3))
            found["".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), length))] = None
        by_rank = list(found)
        return [word for kind in range(self.n_classes) for word in by_rank[kind :: self.n_classes]]

    @cached_property
    def word_given_class(self) -> NDArray[np.float64]:
        """Zipf's law over the ranks of one class; shape (n_words,)."""
        weight = 1.0 / np.arange(1, self.n_words + 1) ** self.zipf
        return weight / weight.sum()

    @cached_property
    def transition(self) -> NDArray[np.float64]:
        """P(next class | class), doubly stochastic; shape (n_classes, n_classes)."""
        successor = np.random.default_rng([self.language_seed, 1]).permutation(self.n_classes)
        fixed = np.eye(self.n_classes)[successor]
        return self.order * fixed + (1 - self.order) / self.n_classes

    def sample(self, n_texts: int, n_tokens: int, rng: np.random.Generator) -> list[str]:
        """Texts of exactly n_tokens characters, each from its start and cut at the end."""
        shortest = min(map(len, self.words)) + 1
        n_words = n_tokens // shortest + 1
        classes = np.empty((n_texts, n_words), dtype=np.int64)
        classes[:, 0] = rng.integers(0, self.n_classes, n_texts)
        cumulative = self.transition.cumsum(axis=1)
        for position in range(1, n_words):
            draw = rng.random(n_texts)[:, None]
            last = cumulative[classes[:, position - 1]]
            classes[:, position] = np.minimum((draw > last).sum(axis=1), self.n_classes - 1)
        ranks = np.searchsorted(self.word_given_class.cumsum(), rng.random(classes.shape))
        index = classes * self.n_words + np.minimum(ranks, self.n_words - 1)
        words = np.array([word + SPACE for word in self.words], dtype=object)
        return [(START + "".join(words[row]))[:n_tokens] for row in index]


def window_entropy(grammar: Grammar, n_tokens: int) -> float:
    """Nats per character over the first n_tokens characters after the start mark: a perfect loss.

    It differs from the rate because the first class is not yet known and the last word is cut. The
    entropy of a word's character j is that of its prefixes, H(j+1 characters) - H(j characters);
    words begin at position t in class c with probability u_t(c), by the renewal equation.
    """
    longest = max(map(len, grammar.words)) + 1
    start = np.full((1, grammar.n_classes), 1 / grammar.n_classes)
    contexts = np.concatenate([start, grammar.transition])
    by_offset = np.array([_prefix_entropies(grammar, row, longest) for row in contexts])
    reached = by_offset.cumsum(axis=1)
    length_given_class = _length_given_class(grammar, longest)
    ends = np.zeros((n_tokens + longest + 1, grammar.n_classes))
    total = reached[0, min(longest, n_tokens) - 1]
    ends[: longest + 1] += contexts[0] * length_given_class.T
    for position in range(1, n_tokens):
        left = min(longest, n_tokens - position)
        total += ends[position] @ reached[1:, left - 1]
        following = ends[position] @ grammar.transition
        ends[position : position + longest + 1] += following * length_given_class.T
    return float(total / n_tokens)


def _prefix_entropies(
    grammar: Grammar, class_probability: NDArray[np.float64], longest: int
) -> NDArray[np.float64]:
    """Entropy of each character of the next word given those before it; shape (longest,)."""
    probability = np.outer(class_probability, grammar.word_given_class).ravel()
    spelled = [word + SPACE for word in grammar.words]
    before, entropies = 0.0, []
    for length in range(1, longest + 1):
        _, group = np.unique([word[:length] for word in spelled], return_inverse=True)
        joint = float(_entropy(np.bincount(group, weights=probability)))
        entropies.append(joint - before)
        before = joint
    return np.array(entropies)


def _length_given_class(grammar: Grammar, longest: int) -> NDArray[np.float64]:
    """P(word's length with its space | class); shape (n_classes, longest + 1)."""
    table = np.zeros((grammar.n_classes, longest + 1))
    for index, word in enumerate(grammar.words):
        kind, rank = divmod(index, grammar.n_words)
        table[kind, len(word) + 1] += grammar.word_given_class[rank]
    return table


def _entropy(probability: NDArray[Any]) -> NDArray[np.float64]:
    """Nats, along the last axis."""
    logs = np.log(np.where(probability > 0, probability, 1.0))
    return -(probability * logs).sum(axis=-1)
