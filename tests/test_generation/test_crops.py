"""Boxes, crops, soft masks: by hand and against brute force."""

import numpy as np
import pytest

from mmood.generation.crops import (
    blend,
    box_mask,
    clip_box,
    padded_box,
    paint_size,
    resize_image,
    resize_mask,
    soft_mask,
)


@pytest.mark.parametrize(
    ('bbox', 'box'),
    [
        ((2, 3, 4, 5), (2, 3, 6, 8)),
        ((2.2, 3.9, 4.0, 0.2), (2, 3, 7, 5)),  # outward
        ((-3.5, -1, 10, 4), (0, 0, 7, 3)),
        ((90, 40, 50, 50), (90, 40, 100, 50)),
        ((0, 0, 100, 50), (0, 0, 100, 50)),
        ((10.1, 0, 20.9, 1), (10, 0, 31, 1)),  # 10.1 + 20.9 > 31 in floats
        ((99.5, 49.5, 0.1, 0.1), (99, 49, 100, 50)),
    ],
)
def test_clip_box(bbox, box):
    assert clip_box(bbox, 100, 50) == box


@pytest.mark.parametrize(
    'bbox',
    [
        (100, 0, 5, 5),
        (0, 50, 5, 5),
        (-8, 0, 8, 5),
        (3, -9, 5, 9),
        (0, 70, 1, 1),
    ],
)
def test_boxes_outside_the_image(bbox):
    with pytest.raises(ValueError, match=r'outside .* 100 x 50 pixels') as e:
        clip_box(bbox, 100, 50)
    assert str(list(bbox)) in str(e.value)


@pytest.mark.parametrize('side', [(0, 5), (5, 0), (-3, 5), (5, -0.1)])
def test_boxes_without_size(side):
    with pytest.raises(ValueError, match='positive sides') as e:
        clip_box((10, 10, *side), 100, 50)
    assert str([10, 10, *side]) in str(e.value)


@pytest.mark.parametrize(
    'bbox', [(np.nan, 0, 5, 5), (0, 0, np.inf, 5), (0, 0, 5), ()]
)
def test_boxes_of_no_numbers(bbox):
    with pytest.raises(ValueError, match='four finite numbers'):
        clip_box(bbox, 100, 50)


@pytest.mark.parametrize(
    ('box', 'padding', 'expected'),
    [
        ((40, 40, 60, 50), 0.25, (35, 30, 65, 60)),  # 20 -> 30, centred
        ((40, 40, 50, 50), 0.1, (39, 39, 51, 51)),  # 12, not 13
        ((40, 40, 60, 50), 0.0, (40, 35, 60, 55)),
        ((0, 0, 20, 20), 0.25, (0, 0, 30, 30)),  # shifted in
        ((180, 90, 200, 100), 0.25, (170, 70, 200, 100)),
        ((0, 40, 160, 60), 0.25, (0, 0, 200, 100)),  # cut
        ((20, 10, 100, 90), 0.25, (0, 0, 120, 100)),  # cut in height only
    ],
)
def test_padded_box(box, padding, expected):
    assert padded_box(box, 200, 100, padding) == expected


def test_padded_boxes_hold_their_box_and_lie_in_the_image():
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height = rng.integers(1, 40, 2)
        x, y = rng.integers(0, width), rng.integers(0, height)
        box = (x, y, rng.integers(x, width) + 1, rng.integers(y, height) + 1)
        padding = rng.choice([0, 0.1, 0.25, 2])
        around = padded_box(box, width, height, padding)
        assert 0 <= around[0] <= box[0] < box[2] <= around[2] <= width
        assert 0 <= around[1] <= box[1] < box[3] <= around[3] <= height
        side = max(box[2] - box[0], box[3] - box[1]) * (1 + 2 * padding)
        for start, end, limit in ((0, 2, width), (1, 3, height)):
            length = around[end] - around[start]
            assert min(side, limit) <= length < min(side, limit) + 1


@pytest.mark.parametrize(
    ('crop', 'size', 'multiple', 'expected'),
    [
        ((30, 41), None, 1, (30, 41)),
        ((30, 41), None, 8, (32, 48)),
        ((32, 48), None, 8, (32, 48)),
        ((100, 100), 512, 8, (512, 512)),
        ((50, 100), 512, 8, (256, 512)),
        ((100, 30), 64, 8, (64, 16)),  # 19.2
        ((100, 35), 64, 8, (64, 24)),  # 22.4
        ((1000, 1), 64, 8, (64, 8)),
        ((10, 10), 61, 8, (64, 64)),
        ((10, 10), 2, 8, (8, 8)),
    ],
)
def test_paint_size(crop, size, multiple, expected):
    assert paint_size(*crop, size, multiple) == expected


def test_images_are_resized_only_if_they_must_be():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    assert resize_image(image, 4, 6) is image
    halves = image.reshape(2, 2, 3, 2, 3).astype(float).mean((1, 3))
    np.testing.assert_allclose(resize_image(image, 2, 3), halves, atol=0.5)
    flat = np.full((5, 5, 3), 77, np.uint8)
    assert (resize_image(flat, 16, 8) == 77).all()


def test_masks_grow_by_repetition_and_never_vanish():
    mask = np.array([[0, 1], [0, 0]], bool)
    assert resize_mask(mask, 2, 2) is mask
    grown = np.kron(mask, np.ones((3, 2))).astype(bool)
    np.testing.assert_array_equal(resize_mask(mask, 6, 4), grown)
    for i in range(40):
        line = np.zeros((40, 40), bool)
        line[i] = True
        for size in ((8, 8), (16, 64), (39, 41)):
            shrunk = resize_mask(line, *size)
            assert shrunk.dtype == bool and shrunk.all(1).any()
            assert shrunk.sum() <= 2 * size[1]


def test_box_mask_against_single_pixels():
    rng = np.random.default_rng(1)
    for _ in range(20):
        boxes = np.sort(rng.integers(0, 16, (4, 2, 2)), 1).reshape(4, 4)
        crop, box, *keep = (tuple(b) for b in boxes)
        mask = box_mask(box, crop, keep)
        for (row, column), value in np.ndenumerate(mask):
            y, x = row + crop[1], column + crop[0]

            def has(b, x=x, y=y):
                return b[0] <= x < b[2] and b[1] <= y < b[3]

            assert value == (has(box) and not any(map(has, keep)))


def test_soft_mask_by_hand():
    alpha = soft_mask((10, 10, 14, 14), (0, 0, 24, 24), 3, [(12, 0, 13, 99)])
    assert alpha.dtype == np.float32
    t = np.array([0, 0.25, 0.5, 0.75, 1, 1])
    rise = t**2 * (3 - 2 * t)  # 0 at four pixels from the box
    np.testing.assert_allclose(alpha[11, 6:12], rise, atol=1e-6)
    np.testing.assert_allclose(alpha[11, 17:13:-1], rise[:4], atol=1e-6)
    np.testing.assert_allclose(alpha[6:12, 13], rise, atol=1e-6)
    assert (alpha[:, 12] == 0).all()
    # Two pixels right and two below the corner: 2^1.5 pixels of 4.
    near = 1 - 8**0.5 / 4
    corner = near**2 * (3 - 2 * near)
    np.testing.assert_allclose(alpha[15, 15], corner, atol=1e-6)


@pytest.mark.parametrize('feather', [0, 1, 4, 50])
@pytest.mark.parametrize(
    'box', [(5, 4, 15, 16), (1, 4, 18, 16), (0, 0, 10, 20), (0, 0, 20, 20)]
)
def test_soft_mask_is_one_in_the_box_and_zero_at_the_rim(box, feather):
    crop_box = (100, 200, 120, 220)
    x1, y1, x2, y2 = box
    moved = (x1 + 100, y1 + 200, x2 + 100, y2 + 200)
    alpha = soft_mask(moved, crop_box, feather)
    assert (alpha[y1:y2, x1:x2] == 1).all()
    outside = np.ones((20, 20), bool)
    outside[y1:y2, x1:x2] = False
    assert (alpha[outside] < 1).all() and (alpha >= 0).all()
    if feather == 0:
        assert not alpha[outside].any()
    assert not alpha[:, 0].any() or x1 == 0
    assert not alpha[:, -1].any() or x2 == 20
    assert not alpha[0].any() or y1 == 0
    assert not alpha[-1].any() or y2 == 20


def test_soft_mask_falls_away_from_the_box():
    alpha = soft_mask((8, 8, 12, 12), (0, 0, 20, 20), 6)
    assert (np.diff(alpha[:, 12:], axis=1) <= 0).all()
    assert (np.diff(alpha[12:], axis=0) <= 0).all()
    np.testing.assert_array_equal(alpha, alpha[::-1, ::-1])
    np.testing.assert_array_equal(alpha, alpha.T)


def test_blend():
    rng = np.random.default_rng(2)
    before, after = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    alpha = rng.choice([0, 1, 0.25, 0.7], (16, 16)).astype(np.float32)
    mixed = blend(before, after, alpha)
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed[alpha == 0], before[alpha == 0])
    np.testing.assert_array_equal(mixed[alpha == 1], after[alpha == 1])
    weight = alpha[..., None].astype(float)
    exact = before * (1 - weight) + after * weight
    np.testing.assert_allclose(mixed, exact, atol=0.501)


def test_blend_refuses_other_sizes():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r'\(4, 4, 3\).*\(4, 5\)'):
        blend(image, image, np.zeros((4, 5), np.float32))
    with pytest.raises(ValueError, match='one height and width'):
        blend(image, image[:3], np.zeros((4, 4), np.float32))
