"""Pasting a cutout: pixels, labels, edges, places."""

import numpy as np
import pytest

from mmood.generation import Cutout
from mmood.generation.pasting import lit_like, paste, random_corner, soft_edges

RNG = np.random.default_rng


def scene(value=50, size=(12, 16)):
    image = np.full((*size, 3), value, np.uint8)
    return image, np.full(size, 3, np.uint8)


def cutout(alpha, value=200, **more):
    alpha = np.array(alpha, np.uint8)
    image = np.full((*alpha.shape, 3), value, np.uint8)
    return Cutout(image, alpha, 'a', **more)


def test_pixels_and_labels_by_hand():
    image, labels = scene()
    alpha = [[0, 127, 128, 255]]
    count = paste(image, labels, cutout(alpha), (2, 5), 254, RNG(0))
    # 50 + 150 alpha / 255
    assert image[5, 2:6, 0].tolist() == [50, 125, 125, 200]
    assert labels[5, 2:6].tolist() == [3, 3, 254, 254] and count == 2
    other, before = scene()
    other[5, 2:6] = image[5, 2:6]
    before[5, 4:6] = 254
    assert np.array_equal(image, other) and np.array_equal(labels, before)


def test_ignored_pixels_are_labelled_too():
    image, labels = scene()
    labels[:] = 255
    paste(image, labels, cutout([[255] * 3]), (0, 0), 254, RNG(0))
    assert labels[0, :4].tolist() == [254, 254, 254, 255]


def test_soft_edges_stay_inside_the_object():
    alpha = np.zeros((30, 30), np.uint8)
    alpha[5:25, 5:25] = 255
    soft = soft_edges(cutout(alpha), 2.0).alpha
    assert not soft[alpha == 0].any()
    middle = soft[15].astype(int)
    assert middle[15] == 255 and middle[5] < 110
    assert (np.diff(middle[5:15]) >= 0).all() and len(set(middle[5:15])) > 4
    # An object that fills its cutout ends there.
    full = soft_edges(cutout(np.full((20, 20), 255)), 2.0).alpha
    assert full[0].max() < 110 and full[10, 10] == 255
    same = cutout(alpha)
    assert soft_edges(same, 0.0) is same


def test_brightness_goes_part_of_the_way():
    """To the ground's 50 from 200; 3 is added to both."""
    ground = np.full((4, 4, 3), 50, np.uint8)
    one = cutout(np.full((4, 4), 255))
    ratio = (150 + 3) / (600 + 3)
    assert lit_like(one, ground, 0)[0, 0, 0] == 200
    found = lit_like(one, ground, 0.25)[0, 0, 0]
    assert found == pytest.approx(200 * ratio**0.25, rel=1e-4)
    assert lit_like(one, ground, 1)[0, 0, 0] == pytest.approx(100)
    half = cutout(np.r_[[[255] * 4] * 2, [[0] * 4] * 2])
    half.image[2:] = 0  # is not the object's
    assert lit_like(half, ground, 0.25)[0, 0, 0] == pytest.approx(found)


def test_drawn_objects_get_the_noise_of_the_image():
    image, labels = scene(size=(64, 64))
    noisy = image + 9 * RNG(1).standard_normal(image.shape)
    image = np.clip(noisy, 0, 255).astype(np.uint8)
    smooth = image.copy()
    alpha = np.full((40, 40), 255)
    for picture, is_drawn in ((image, True), (smooth, False)):
        one = cutout(alpha, 120, is_drawn=is_drawn)
        paste(picture, labels, one, (10, 10), 254, RNG(0))
    assert image[10:50, 10:50].std() == pytest.approx(9, rel=0.15)
    assert smooth[10:50, 10:50].std() == 0


def test_places_cover_the_image():
    labels = np.zeros((4, 5), np.uint8)
    found = {random_corner(RNG(i), labels, (3, 3)) for i in range(200)}
    assert found == {(x, y) for x in range(3) for y in range(2)}
    assert random_corner(RNG(0), labels, (4, 5)) == (0, 0)


def test_objects_stand_on_the_ground():
    labels = np.zeros((20, 30), np.uint8)
    labels[12:, 5:25] = 7
    for seed in range(100):
        x, y = random_corner(RNG(seed), labels, (6, 9), ground=(7, 9))
        assert labels[y + 5, x + 4] == 7
        assert 0 <= x <= 21 and 0 <= y <= 14
    labels[:] = 0
    labels[0, 0] = 7  # nothing fits there
    x, y = random_corner(RNG(0), labels, (6, 9), ground=(7,))
    assert 0 <= x <= 21 and 0 <= y <= 14
