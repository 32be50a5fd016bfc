"""Distances of a painting from the original, and their limits."""

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmood.generation.filters import (
    PixelDistance,
    StructuralDistance,
    pixel_distance,
    structural_distance,
)
from mmood.registry import PAINTERS

BOX = (4, 6, 24, 30)


def pair(height=40, width=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (2, height, width, 3), np.uint8)


def ssim(first, second, sigma=1.5):
    """Wang et al. 2004, Eq. 13, with their weights and constants."""

    def mean(x):
        return gaussian_filter(x, sigma, mode='mirror', truncate=3.5)

    values = []
    for channel in range(3):
        x, y = (im[..., channel].astype(float) for im in (first, second))
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        mx, my = mean(x), mean(y)
        vx, vy = mean(x * x) - mx**2, mean(y * y) - my**2
        cov = mean(x * y) - mx * my
        values.append(
            (2 * mx * my + c1)
            * (2 * cov + c2)
            / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        )
    return np.mean(values)


def test_pixel_distance_by_hand():
    before = np.full((2, 2, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0] = [0, 100, 255]
    assert pixel_distance(before, after) == pytest.approx(255 / 12 / 255)
    assert pixel_distance(after, before) == pixel_distance(before, after)
    black, white = np.zeros_like(before), np.full_like(before, 255)
    assert pixel_distance(black, white) == 1
    assert pixel_distance(after, after) == 0


@pytest.mark.parametrize('mix', [0.0, 0.1, 0.5, 1.0])
def test_structural_distance_against_the_formula(mix):
    before, noise = pair()
    after = (before * (1 - mix) + noise * mix).astype(np.uint8)
    expected = 1 - ssim(before, after)
    found = structural_distance(before, after)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('side', [10, 9, 5, 4, 3])
def test_small_boxes_have_a_smaller_window(side):
    before, after = pair(side, 20)
    radius = (side - 1) // 2
    expected = 1 - ssim(before, after, radius / 3.5)
    found = structural_distance(before, after)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('shape', [(1, 1), (2, 30), (1, 12), (3, 3), (11, 11)])
def test_structural_distance_is_a_number_in_its_range(shape):
    flat = [np.full((*shape, 3), v, np.uint8) for v in (0, 1, 255)]
    images = [*flat, *pair(*shape)]
    images.append(255 - images[-1])  # the opposite structure
    for first in images:
        assert structural_distance(first, first) == pytest.approx(0, abs=1e-5)
        for second in images:
            assert 0 <= structural_distance(first, second) <= 2


def test_opposite_structure_is_farther_than_unrelated():
    before, noise = pair()
    opposite = structural_distance(before, 255 - before)
    assert opposite > 1.5 > structural_distance(before, noise) > 0.9


@pytest.mark.parametrize('kind', ['PixelDistance', 'StructuralDistance'])
def test_only_the_box_counts(kind):
    measure = PAINTERS.build(dict(type=f'mmood.{kind}'))
    before, noise = pair()
    x1, y1, x2, y2 = BOX
    outside, inside = noise.copy(), before.copy()
    outside[y1:y2, x1:x2] = before[y1:y2, x1:x2]
    inside[y1:y2, x1:x2] = noise[y1:y2, x1:x2]
    same = measure(before, outside, BOX, 'cat')
    assert same == pytest.approx(0, abs=1e-5) and not measure.keeps(same)
    value = measure(before, inside, BOX, 'cat')
    assert isinstance(value, float) and measure.keeps(value)
    again = measure(before, noise, BOX, 'cat')
    assert value == pytest.approx(again, rel=1e-4)
    assert measure.name == 'too_close'


@pytest.mark.parametrize(
    ('measure', 'limit'),
    [
        (PixelDistance(), 0.05),
        (PixelDistance(0.3), 0.3),
        (StructuralDistance(), 0.2),
        (StructuralDistance(1.5), 1.5),
        (PixelDistance(0), 0),
    ],
)
def test_the_limit_itself_is_kept(measure, limit):
    assert measure.keeps(limit)
    assert not measure.keeps(limit - 1e-6)


@pytest.mark.parametrize('value', [-0.1, 1.1, float('nan')])
def test_refuses_limits_out_of_range(value):
    with pytest.raises(ValueError, match=f'min_distance .*got {value}'):
        PixelDistance(value)
    with pytest.raises(ValueError, match=f'min_distance .*got {value * 2}'):
        StructuralDistance(value * 2)


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchmetrics.functional.image', None)
    with pytest.raises(ImportError, match=r'mmood\[generation\]'):
        StructuralDistance()
