from collections.abc import Iterator

import numpy as np
import pytest

from train.config.spec import SpecError
from train.data.prepared.holdout import PIECE, held_out_ranges
from train.data.prepared.mapped_tokens import TokenView


def pieces(n: int, copies: int = 1) -> np.ndarray:
    """n pieces of 7 to 19 tokens with random hashes, all of them so many times over."""
    rng = np.random.default_rng(1)
    made = np.zeros(n, PIECE)
    made["hash"] = rng.integers(0, 2**63, n).astype("<u8") * 2
    made["n_tokens"] = rng.integers(7, 20, n)
    made["ends"] = 1
    return np.tile(made, copies)


def split(made: np.ndarray, wanted: int, chunk: int = 50):
    def chunks() -> Iterator[np.ndarray]:
        return (made[i : i + chunk] for i in range(0, len(made), chunk))

    return held_out_ranges(chunks, wanted, "text")


@pytest.mark.parametrize("copies", [1, 3])
def test_as_many_tokens_are_held_out_as_were_asked_for_and_none_twice(copies: int):
    made = pieces(2000, copies)
    ranges, counts = split(made, 1000)
    assert 1001 <= counts["val"]["n_tokens"] <= 1001 + 19
    starts = np.concatenate([[0], made["n_tokens"].cumsum()[:-1]])
    hash_at = dict(zip(starts.tolist(), made["hash"].tolist(), strict=True))
    val = [hash_at[start] for low, high in ranges["val"] for start in starts if low <= start < high]
    train = [h for s, h in hash_at.items() if any(a <= s < b for a, b in ranges["train"])]
    assert len(val) == len(set(val))
    assert not set(val) & set(train)
    assert len(train) == len(made) - copies * len(val)


def test_the_choice_does_not_depend_on_how_many_pieces_are_looked_at_together():
    made = pieces(500, 2)
    a, b = split(made, 300, chunk=7)[0], split(made, 300, chunk=1000)[0]
    assert all((a[name] == b[name]).all() for name in a)


def test_too_little_text_says_how_much_there_is():
    with pytest.raises(SpecError, match=r"'text' has \d+ tokens in 50 pieces, too few to hold"):
        split(pieces(50), 500)


def test_a_view_is_the_ranges_of_arrays_joined_together():
    rng = np.random.default_rng(2)
    arrays = [rng.integers(0, 99, n).astype(kind) for n, kind in ((5, "u2"), (0, "i4"), (40, "i8"))]
    ranges = np.array([[1, 3], [4, 20], [44, 45]])
    whole = np.concatenate([a.astype(np.int64) for a in arrays])
    expected = np.concatenate([whole[a:b] for a, b in ranges])
    view = TokenView(arrays, ranges)
    assert len(view) == len(expected)
    index = rng.integers(0, len(expected), (6, 4))
    assert (view[index] == expected[index]).all()
