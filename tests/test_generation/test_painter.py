"""From image to painted image: what changes, and what must not."""

import json

import numpy as np
import pytest

from mmood.generation.painter import Painter, Painting, paint_box


class Noise(Painter):
    """Repaints all of its crop, mask or not, and remembers what it got."""

    name = 'noise'

    def __init__(self, size=None, multiple=1):
        self.size = size
        self.multiple = multiple
        self.calls = []

    def paint(self, crop, mask, label, seed):
        self.calls.append((crop.copy(), mask.copy(), label, seed))
        rng = np.random.default_rng(seed)
        crop[:] = 0  # a painter may ruin what it was given
        mask[:] = False
        image = rng.integers(0, 256, crop.shape, np.uint8)
        return Painting(image, dict(prompt=f'no {label}'))


class Constant(Painter):
    name = 'constant'

    def __init__(self, result, size=None):
        self.result = result
        self.size = size

    def paint(self, crop, mask, label, seed):
        if callable(self.result):
            return self.result(crop)
        return Painting(np.full_like(crop, self.result), {})


def picture(height=60, width=80, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def inside(shape, *boxes):
    mask = np.zeros(shape[:2], bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


PLACES = [
    (30, 20, 50, 40),
    (0, 0, 21, 13),  # a corner
    (70, 3, 80, 57),  # high, at an edge
    (0, 0, 80, 60),  # everything
    (3, 2, 77, 58),  # a square around it has no room
    (40, 30, 41, 31),  # a pixel
]


@pytest.mark.parametrize('size', [None, 16, 96])
@pytest.mark.parametrize('padding', [0, 0.25, 3])
@pytest.mark.parametrize('box', PLACES)
def test_only_the_padded_box_changes(box, padding, size):
    image, keep = picture(), [(35, 25, 44, 29), (0, 0, 5, 5), (69, 50, 72, 53)]
    original = image.copy()
    painter = Noise(size=size, multiple=8)
    result, how = paint_box(
        image, box, painter, 'cat', 3, padding=padding, keep=keep
    )
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(image, original)
    padded = inside(image.shape, how['padded_box'])
    kept = inside(image.shape, *keep)
    untouched = ~padded | kept
    np.testing.assert_array_equal(result[untouched], image[untouched])
    painted = inside(image.shape, box) & ~kept
    assert painted.any()
    assert (result[painted] != image[painted]).any(1).mean() > 0.9


@pytest.mark.parametrize('box', PLACES)
def test_the_box_holds_the_painting_and_the_edge_is_soft(box):
    image = np.zeros((60, 80, 3), np.uint8)
    result, how = paint_box(
        image, box, Constant(200), 'cat', 0, padding=0.5, feather=4
    )
    filled = inside(image.shape, box)
    assert (result[filled] == 200).all()
    edge = result[~filled]
    assert (edge < 200).all()
    x1, y1, x2, y2 = how['padded_box']
    for rim, is_border in (
        (result[y1:y2, x1], x1 == box[0]),
        (result[y1:y2, x2 - 1], x2 == box[2]),
        (result[y1, x1:x2], y1 == box[1]),
        (result[y2 - 1, x1:x2], y2 == box[3]),
    ):
        assert is_border or not rim.any()
    sharp, _ = paint_box(
        image, box, Constant(200), 'cat', 0, padding=0.5, feather=0
    )
    np.testing.assert_array_equal(sharp[..., 0] == 200, filled)
    assert not sharp[~filled].any()
    if not filled.all() and box[2] - box[0] > 10:
        assert edge.any()


def test_at_its_own_size_nothing_is_resampled():
    image, box = picture(), (30, 20, 50, 40)
    painter = Noise()
    result, how = paint_box(image, box, painter, 'cat', 7, padding=0.25)
    assert how['padded_box'] == [25, 15, 55, 45]
    assert how['paint_size'] == [30, 30]
    crop, mask, label, seed = painter.calls[0]
    np.testing.assert_array_equal(crop, image[15:45, 25:55])
    np.testing.assert_array_equal(mask, inside(crop.shape, (5, 5, 25, 25)))
    assert (label, seed) == ('cat', 7)
    noise = np.random.default_rng(7).integers(0, 256, crop.shape, np.uint8)
    np.testing.assert_array_equal(result[20:40, 30:50], noise[5:25, 5:25])


def test_the_painter_works_at_its_resolution():
    image = np.kron(picture(15, 20), np.ones((4, 4, 1), np.uint8))
    painter = Noise(size=24, multiple=8)
    box, keep = (0, 0, 60, 40), [(40, 20, 60, 60)]
    _, how = paint_box(image, box, painter, 'cat', 0, padding=0, keep=keep)
    assert how['padded_box'] == [0, 0, 60, 60]
    assert how['paint_size'] == [24, 24]
    crop, mask, *_ = painter.calls[0]
    assert crop.shape == (24, 24, 3) and crop.flags.c_contiguous
    # 60 pixels become 24: 40 become 16, 20 become 8.
    expected = inside((24, 24), (0, 0, 24, 16)) & ~inside(
        (24, 24), (16, 8, 24, 24)
    )
    np.testing.assert_array_equal(mask, expected)
    average = image[:60, :60].reshape(12, 5, 12, 5, 3).mean((1, 3))
    small = crop.reshape(12, 2, 12, 2, 3).mean((1, 3))
    np.testing.assert_allclose(small, average, atol=1)


def test_sides_are_multiples_without_a_size():
    painter = Noise(multiple=8)
    _, how = paint_box(picture(), (30, 20, 50, 40), painter, 'cat', 0)
    assert how['paint_size'] == [32, 32]
    assert painter.calls[0][0].shape == (32, 32, 3)


def test_provenance_is_json_and_the_seed_decides():
    image, box = picture(), tuple(np.array([30, 20, 50, 40]))
    first, how = paint_box(image, box, Noise(), 'cat', 1)
    again, _ = paint_box(image, box, Noise(), 'cat', 1)
    other, _ = paint_box(image, box, Noise(), 'cat', 2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert json.loads(json.dumps(how)) == dict(
        prompt='no cat', padded_box=[25, 15, 55, 45], paint_size=[30, 30]
    )


def test_a_refusal_is_passed_on():
    painter = Constant(lambda crop: None)
    assert paint_box(picture(), (3, 3, 9, 9), painter, 'cat', 0) is None


def test_classes_are_not_checked_by_default():
    assert Constant(0).check_classes(['cat', 'anything']) is None


@pytest.mark.parametrize(
    'box', [(5, 5, 5, 9), (9, 5, 5, 9), (-1, 0, 5, 5), (70, 0, 81, 5)]
)
def test_refuses_boxes_out_of_place(box):
    with pytest.raises(ValueError, match=r'within .* 80 x 60 .*clip_box'):
        paint_box(picture(), box, Constant(0), 'cat', 0)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((9, 9, 3)), r'uint8, got \(9, 9, 3\) float64'),
        (np.zeros((9, 9), np.uint8), r'\(H, W, 3\) .*got \(9, 9\)'),
        (np.zeros((9, 9, 4), np.uint8), r'got \(9, 9, 4\)'),
    ],
)
def test_refuses_other_images(image, message):
    with pytest.raises(ValueError, match=message):
        paint_box(image, (0, 0, 5, 5), Constant(0), 'cat', 0)


@pytest.mark.parametrize('option', [dict(padding=-0.1), dict(feather=-1)])
def test_refuses_negative_options(option):
    with pytest.raises(ValueError, match='padding and feather .*negative'):
        paint_box(picture(), (0, 0, 5, 5), Constant(0), 'cat', 0, **option)


def test_refuses_a_box_kept_whole():
    with pytest.raises(ValueError, match='keep leaves nothing of the box'):
        paint_box(
            picture(), (3, 3, 9, 9), Constant(0), 'cat', 0,
            keep=[(0, 0, 6, 20), (6, 0, 20, 20)],
        )  # fmt: skip


@pytest.mark.parametrize(
    'wrong', [lambda c: c[:-1], lambda c: c.astype(float)]
)
def test_refuses_a_painting_of_another_shape(wrong):
    painter = Constant(lambda crop: Painting(wrong(crop), {}))
    with pytest.raises(ValueError, match='Constant.paint must return .*uint8'):
        paint_box(picture(), (3, 3, 9, 9), painter, 'cat', 0)
