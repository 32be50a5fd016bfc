"""Greedy k-centre against numpy and the optimum of all subsets."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from mmood.ops import farthest_points


def radius(distances, places):
    """How far the farthest vector is from the chosen ones."""
    return distances[:, list(places)].min(1).max()


def test_on_a_line():
    x = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    assert farthest_points(x, 3).tolist() == [0, 2, 3]


def test_each_is_the_farthest_of_those_before():
    x = torch.randn(300, 5, dtype=torch.float64)
    distances, expected = cdist(x, x), [0]
    for _ in range(39):
        expected.append(int(distances[:, expected].min(1).argmax()))
    assert farthest_points(x, 40).tolist() == expected


def test_at_most_twice_the_best_radius():
    for _ in range(20):
        x = torch.rand(12, 2)
        distances = cdist(x, x)
        best = min(radius(distances, c) for c in combinations(range(12), 3))
        found = radius(distances, farthest_points(x, 3).tolist())
        assert best <= found <= 2 * best + 1e-6


@pytest.mark.parametrize('size', [5, 9])
def test_all_of_them_once(size):
    for x in (torch.randn(5, 3), torch.zeros(5, 3), 1e4 + torch.ones(5, 3)):
        found = farthest_points(x, size).numpy()
        np.testing.assert_array_equal(np.sort(found), np.arange(5))


def test_no_vectors():
    assert farthest_points(torch.zeros(0, 3), 4).shape == (0,)


@pytest.mark.parametrize(
    ('shape', 'size', 'pattern'),
    [((4,), 1, r'\(n, C\), got \(4,\)'), ((4, 2), 0, 'at least 1, got 0')],
)
def test_bad_arguments(shape, size, pattern):
    with pytest.raises(ValueError, match=pattern):
        farthest_points(torch.zeros(shape), size)
