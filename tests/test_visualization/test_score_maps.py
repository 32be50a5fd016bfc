"""Score maps as pictures: closed forms."""

import matplotlib
import numpy as np
import pytest

from mmood.visualization import (
    color_map,
    draw_outline,
    finite_range,
    overlay,
)

INF, NAN = float('inf'), float('nan')


def turbo(share, name='turbo'):
    """Matplotlib's table of 256 colours, by the share of the range."""
    table = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return np.round(255 * table[min(int(256 * share), 255)]).tolist()


def test_colours_of_known_scores():
    score = np.array([[-1.0, 0.0, 3.0]])
    found = color_map(score, -1, 3).tolist()
    assert found == [[turbo(0), turbo(0.25), turbo(1)]]
    # Turbo goes from dark blue over green to dark red.
    assert found[0][0][2] > found[0][0][0]
    assert found[0][2][0] > found[0][2][2]
    grey = color_map(score, -1, 3, 'gray')
    assert grey[0, :, 0].tolist() == [0, 64, 255]


def test_scores_beyond_the_range_and_none():
    score = np.array([[-INF, -9, 0, 1, 7, INF, NAN]], np.float32)
    found = color_map(score, 0, 1)
    assert found.dtype == np.uint8
    low, high = turbo(0), turbo(1)
    expected = [[low, low, low, high, high, high, [0, 0, 0]]]
    assert found.tolist() == expected


def test_close_scores_of_a_large_size():
    """Half precision would not tell these from each other."""
    score = np.array([[10000.0, 10000.5, 10001.0]], np.float32)
    found = color_map(score, 10000, 10001).tolist()
    assert found == [[turbo(0), turbo(0.5), turbo(1)]]
    half = np.array([[0.0, 0.5, 1.0]], np.float16)
    assert color_map(half, 0, 1).tolist() == found


def test_no_pixel():
    assert color_map(np.zeros((0, 4)), 0, 1).shape == (0, 4, 3)


@pytest.mark.parametrize(('low', 'high'), [(1, 1), (2, 1), (NAN, 1), (0, NAN)])
def test_a_range_that_is_none(low, high):
    with pytest.raises(ValueError, match='low must be less than high, got'):
        color_map(np.zeros((1, 1)), low, high)


@pytest.mark.parametrize(
    ('opacity', 'expected'),
    [(0, [10, 200]), (1, [250, 0]), (0.5, [130, 100]), (0.6, [154, 80])],
)
def test_overlay(opacity, expected):
    image = np.array([[[10, 10, 10], [200, 200, 200]]], np.uint8)
    picture = np.array([[[250, 250, 250], [0, 0, 0]]], np.uint8)
    found = overlay(image, picture, opacity)
    assert found.dtype == np.uint8
    assert found[0, :, 1].tolist() == expected
    assert image[0, 0, 0] == 10  # not drawn upon


def outline(mask):
    """Which pixels of a black image are drawn."""
    mask = np.array(mask)
    image = np.zeros((*mask.shape, 3), np.uint8)
    drawn = draw_outline(image, mask, (7, 8, 9))
    assert not image.any()
    border = drawn.any(-1)
    assert (drawn[border] == (7, 8, 9)).all()
    return border.astype(int).tolist()


def test_outline_is_the_inner_border():
    mask = [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 1, 1],
        [0, 1, 1, 1, 0],
    ]
    expected = [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 0, 1],
        [0, 1, 1, 1, 0],  # the edge of the image closes it
    ]
    assert outline(mask) == expected


@pytest.mark.parametrize(
    'mask', [[[0]], [[1]], [[1, 0], [0, 1]], [[1] * 3] * 2, [[0] * 3] * 2]
)
def test_outline_of_thin_masks_is_the_mask(mask):
    assert outline(mask) == mask


def test_a_full_mask_has_the_border_of_the_image():
    assert outline(np.ones((3, 4), bool)) == [
        [1, 1, 1, 1],
        [1, 0, 0, 1],
        [1, 1, 1, 1],
    ]


@pytest.mark.parametrize(
    ('score', 'expected'),
    [
        ([[1, 3, 2]], (1, 3)),
        ([[np.nan, 1, np.inf, 3, -np.inf]], (1, 3)),
        ([[np.nan, np.inf]], (0, 1)),
    ],
)
def test_range_of_the_numbers(score, expected):
    assert finite_range(np.array(score, np.float32)) == expected


@pytest.mark.parametrize('value', [0.0, 1.0, -1e30])
def test_range_of_equal_scores(value):
    score = np.full((2, 2), value, np.float32)
    low, high = finite_range(score)
    assert low == float(score[0, 0]) < high
    lowest = color_map(np.zeros((1, 1)), 0, 1)[0, 0]
    assert (color_map(score, low, high) == lowest).all()
