"""ShuffleBuffer: a ring, and fair draws from it."""

import pytest
import torch

from mmood.ops import ShuffleBuffer
from waits import Waits


def rows(*numbers):
    """Vectors (N, 2) that can be told apart."""
    numbers = torch.tensor(numbers, dtype=torch.float)
    return torch.stack([numbers, -numbers], 1)


def drawn(buffer, count):
    x = buffer.draw(count)
    assert torch.equal(x[:, 0], -x[:, 1])  # whole vectors
    return [int(v) for v in x[:, 0]]


def test_empty():
    buffer = ShuffleBuffer(4)
    assert len(buffer) == 0
    with pytest.raises(ValueError, match='buffer is empty: add'):
        buffer.draw(1)
    buffer.add(torch.zeros(0, 2))
    assert len(buffer) == 0
    assert buffer.draw(3).shape == (0, 2)


def test_fewer_than_asked_for():
    buffer = ShuffleBuffer(10)
    buffer.add(rows(1, 2, 3))
    assert sorted(drawn(buffer, 7)) == [1, 2, 3]
    assert drawn(buffer, 0) == []
    assert len(buffer) == 3  # a draw takes nothing out


def test_the_oldest_give_way():
    buffer = ShuffleBuffer(5)
    held = []
    for new in ([1, 2, 3], [4], [5, 6], [], [7, 8, 9, 10], [11] * 5):
        buffer.add(rows(*new) if new else torch.zeros(0, 2))
        held = (held + new)[-5:]
        assert sorted(drawn(buffer, 5)) == sorted(held)
        assert len(buffer) == len(held)


def test_more_than_it_holds():
    """A random choice, not the first or the last ones."""
    counts = torch.zeros(8)
    for _ in range(600):
        buffer = ShuffleBuffer(3)
        buffer.add(rows(50, 51))
        buffer.add(rows(*range(8)))
        kept = drawn(buffer, 8)
        assert len(set(kept)) == 3
        counts[kept] += 1
    # Each is kept with 3/8: 225 of 600, deviation 12; 5 sigma.
    assert (counts - 225).abs().max() < 60


def test_draws_repeat_nothing_and_are_uniform():
    buffer = ShuffleBuffer(20)
    buffer.add(rows(*range(8)))
    buffer.add(rows(*range(8, 28)))  # over the edge of the ring
    counts, first = torch.zeros(28), torch.zeros(28)
    for _ in range(1500):
        chosen = drawn(buffer, 4)
        assert len(set(chosen)) == 4
        counts[chosen] += 1
        first[chosen[0]] += 1
    assert not counts[:8].any()
    # Chi-square with 19 degrees of freedom: 43.8 has a chance of 0.1 %.
    # Without repetition the variance of a count is 16/19 of Poisson's.
    chi = ((counts[8:] - 300) ** 2 / 300).sum() * 19 / 16
    assert chi < 43.8
    assert ((first[8:] - 75) ** 2 / 75).sum() < 43.8


def test_a_seed_repeats_the_draw():
    buffer = ShuffleBuffer(50)
    buffer.add(rows(*range(50)))
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append(drawn(buffer, 10))
    assert orders[0] == orders[1] != orders[2]


def test_it_holds_a_copy_without_gradient_and_no_state():
    buffer = ShuffleBuffer(3)
    x = rows(1, 2).requires_grad_()
    buffer.add(x)
    with torch.no_grad():
        x.fill_(9)
    assert sorted(drawn(buffer, 2)) == [1, 2]
    assert not buffer.draw(2).requires_grad
    assert not buffer.state_dict()


@pytest.mark.parametrize('capacity', [0, -1])
def test_bad_capacity(capacity):
    with pytest.raises(ValueError, match=f'at least 1, got {capacity}'):
        ShuffleBuffer(capacity)


def test_nothing_waits_for_the_device():
    buffer = ShuffleBuffer(3)
    with Waits():
        buffer.add(rows(1, 2))
        buffer.add(rows(3, 4, 5, 6))
        assert buffer.draw(2).shape == (2, 2)
