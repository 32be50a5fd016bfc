"""The mean over all ranks' values."""

import sys

import pytest
import torch

from mmood.ops import or_one, rank_count, rank_mean


def test_alone_it_is_the_mean():
    x = torch.randn(7, requires_grad=True)
    torch.testing.assert_close(rank_mean(x), x.mean())


def test_no_values_are_zero_and_keep_the_graph():
    layer = torch.nn.Linear(3, 1)
    loss = rank_mean(layer(torch.zeros(0, 3)).flatten())
    loss.backward()
    assert loss.item() == 0
    assert layer.weight.grad.abs().sum() == 0


@pytest.mark.parametrize('sizes', [(2, 0, 7), (1, 0, 0, 0), (0, 0)])
def test_ranks_average_to_the_mean_of_all_values(monkeypatch, sizes):
    """One value on one of four ranks counts as on one rank, not a quarter."""
    parts = torch.randn(sum(sizes)).split(sizes)
    sent = []

    def all_reduce(count, op):
        sent.append((count.item(), op))
        count.fill_(sum(sizes) / len(sizes))

    module = sys.modules['mmood.ops.rank_mean']
    monkeypatch.setattr(module, 'all_reduce', all_reduce)
    means = [rank_mean(part) for part in parts]
    assert sent == [(size, 'mean') for size in sizes]
    mean = sum(means).item() / len(sizes)
    expected = torch.cat(parts).sum().item() / max(sum(sizes), 1)
    assert mean == pytest.approx(expected, rel=1e-5)


def test_counts():
    assert rank_count(torch.zeros(3, 2)) == rank_count(3) == 3
    assert rank_count(torch.tensor(3)) == 3
    assert [or_one(n) for n in (0, 0.25, torch.tensor(2.0))] == [1, 0.25, 2]
    assert isinstance(or_one(torch.tensor(0)), torch.Tensor)
