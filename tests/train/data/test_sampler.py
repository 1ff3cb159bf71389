import numpy as np
import pytest

from train.data.sampler import BLOCK, draw, permute, quotas


@pytest.mark.parametrize("n", [1, 2, 3, 10, 255, 256, 257, 5000])
def test_permute_is_a_bijection(n):
    assert sorted(permute(np.arange(n), n, key=(3, 0, 1))) == list(range(n))


def test_permutations_differ_by_key_and_look_shuffled():
    first, second = (permute(np.arange(1000), 1000, key=(seed, 0, 0)) for seed in (0, 1))
    assert (first != second).mean() > 0.95
    assert abs(np.corrcoef(first, np.arange(1000))[0, 1]) < 0.15


def test_an_epoch_sees_every_window_once_and_the_next_one_in_another_order():
    drawn = [draw(step, 8, [1.0], [40], seed=5).window for step in range(10)]
    first, second = np.concatenate(drawn[:5]), np.concatenate(drawn[5:])
    assert sorted(first) == sorted(second) == list(range(40))
    assert (first != second).any()


def test_rows_depend_on_the_row_number_alone_not_on_the_batch_size():
    small = [draw(step, 4, [0.7, 0.3], [50, 20], seed=1) for step in range(6)]
    large = [draw(step, 12, [0.7, 0.3], [50, 20], seed=1) for step in range(2)]
    for name in ("part", "window"):
        joined = [np.concatenate([getattr(d, name) for d in drawn]) for drawn in (small, large)]
        assert (joined[0] == joined[1]).all()


def test_a_mixture_keeps_its_shares_and_each_part_its_own_order():
    drawn = [draw(step, 64, [0.75, 0.25], [10**6, 10**6], seed=2) for step in range(BLOCK // 64)]
    part = np.concatenate([d.part for d in drawn])
    window = np.concatenate([d.window for d in drawn])
    assert (part == 1).sum() == BLOCK // 4
    assert len(np.unique(window[part == 1])) == BLOCK // 4
    assert np.abs(np.cumsum(part == 1) - np.arange(1, BLOCK + 1) / 4).max() <= 1


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [0.999, 0.001], [1e-9, 1, 1e-9], [5, 3, 2]])
def test_quotas_fill_the_block_and_forget_no_part(weights):
    counts = quotas(weights, BLOCK)
    assert sum(counts) == BLOCK
    assert min(counts) >= 1
    assert max(np.abs(np.array(counts) - np.array(weights) / sum(weights) * BLOCK)) <= 2
