"""The painter without weights: outlines, noise, and what it leaves alone."""

import cv2
import numpy as np
import pytest

from mmood.generation.painter import paint_box
from mmood.generation.procedural import (
    OUTLINES,
    SWAPS,
    ProceduralPainter,
    _outline_alpha,
    noise_level,
    object_alpha,
    random_outline,
)
from mmood.registry import PAINTERS

KINDS = {'blob', 'polygon', 'union', 'hybrid'}
REACH = 13  # pixels: what the soft shadow of an object reaches


def rectangle(shape, x1, y1, x2, y2):
    mask = np.zeros(shape, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def noisy(image, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def disc(sigma=4):
    """A dark disc on bright ground, where it is, and a box around it."""
    image, inside = np.full((80, 90, 3), 200.0), np.zeros((80, 90), np.uint8)
    cv2.circle(inside, (44, 38), 17, 1, -1)
    image[inside > 0] = (40, 60, 90)
    mask = rectangle((80, 90), 27, 21, 62, 56)
    return noisy(image, sigma), inside > 0, mask


def grown(mask, pixels):
    size = 2 * pixels + 1
    kernel = np.ones((size, size), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def paint(crop, mask, seed=0, swaps=SWAPS, label='cat'):
    return ProceduralPainter(swaps).paint(crop, mask, label, seed)


def outlines(count=150):
    return [random_outline(np.random.default_rng(s)) for s in range(count)]


def test_outlines_touch_all_sides_of_the_unit_square():
    for contour, _ in outlines():
        np.testing.assert_array_equal(contour.min(0), 0)
        np.testing.assert_array_equal(contour.max(0), 1)


def test_outlines_are_of_four_kinds_and_one_piece():
    made = outlines()
    assert {kind for _, kind in made} == KINDS == set(OUTLINES)
    for contour, kind in made:
        corners = len(contour)
        if kind == 'polygon':
            assert 6 <= corners <= 11
        else:
            assert corners == 72 if kind == 'blob' else corners > 72
        canvas = np.zeros((104, 104), np.uint8)
        cv2.fillPoly(canvas, [np.int32(np.round(contour * 100 + 2))], 1)
        pieces, _ = cv2.connectedComponents(canvas)
        assert pieces == 2
        assert 0.2 < canvas.mean() * 1.08 < 0.95


@pytest.mark.parametrize('kinds', [['blob'], ['union', 'hybrid']])
def test_outlines_are_of_the_kinds_that_are_wanted(kinds):
    crop, _, mask = disc()
    painter = ProceduralPainter(['shape'], kinds)
    found = {painter.paint(crop, mask, '', s).how['outline'] for s in range(9)}
    assert found == set(kinds)


def test_curved_outlines_are_not_round():
    """Their radii differ by a tenth of the mean at least."""
    for contour, kind in outlines():
        if kind != 'polygon':
            radius = np.linalg.norm(contour - contour.mean(0), axis=1)
            assert radius.std() > 0.03 * radius.mean()
            assert np.ptp(radius) > 0.1 * radius.mean()


@pytest.mark.parametrize(
    'box', [(10, 15, 70, 60), (0, 0, 90, 80), (3, 5, 8, 75)]
)
def test_drawn_outlines_fill_their_box(box):
    x1, y1, x2, y2 = box
    mask = rectangle((80, 90), *box)
    for seed in range(60):
        alpha, kind = _outline_alpha(
            np.random.default_rng(seed), mask, OUTLINES
        )
        assert kind in KINDS
        assert alpha.shape == mask.shape and 0 < alpha.max() <= 1
        for rim in (
            alpha[y1:y2, x1],
            alpha[y1:y2, x2 - 1],
            alpha[y1, x1:x2],
            alpha[y2 - 1, x1:x2],
        ):
            assert rim.any()
        assert not alpha[~mask].any()
        # What can be seen is as large as the annotation says.
        *_, width, height = cv2.boundingRect(np.uint8(alpha > 0.5))
        assert width >= 0.9 * (x2 - x1) - 1
        assert height >= 0.9 * (y2 - y1) - 1


@pytest.mark.parametrize('sigma', [2, 5, 12])
def test_noise_level_finds_the_noise(sigma):
    flat = np.full((64, 64, 3), 120.0)
    ramp = flat + np.linspace(-60, 60, 64)[:, None]
    edges = flat.copy()
    edges[:, 20:40] += 80
    for seed, image in enumerate((flat, ramp, edges)):
        found = noise_level(noisy(image, sigma, seed))
        assert found == pytest.approx(sigma, rel=0.1)


def test_noise_level_without_noise():
    assert noise_level(np.full((9, 9, 3), 77, np.uint8)) == 0
    for shape in [(1, 1), (2, 9), (9, 2)]:
        assert noise_level(np.zeros((*shape, 3), np.uint8)) == 0
    assert noise_level(np.zeros((9, 9), np.uint8)) == 0


@pytest.mark.parametrize('swap', SWAPS)
@pytest.mark.parametrize('sigma', [0, 9])
def test_what_is_painted_has_the_noise_of_the_rest(sigma, swap):
    crop, _, mask = disc(sigma)
    levels = [
        noise_level(paint(crop, mask, seed, [swap]).image[21:56, 27:62])
        for seed in range(15)
    ]
    # Some textures are as fine as noise.
    assert np.median(levels) == pytest.approx(sigma, rel=0.2, abs=2)


def test_a_seed_makes_one_picture():
    crop, _, mask = disc()
    before = crop.copy(), mask.copy()
    painter = ProceduralPainter()
    first = [painter.paint(crop, mask, 'cat', seed) for seed in range(12)]
    cv2.setRNGSeed(99)
    np.random.seed(5)
    for seed in reversed(range(12)):
        again = paint(crop, mask, seed, label='dog')
        np.testing.assert_array_equal(again.image, first[seed].image)
        assert again.how == first[seed].how
    np.testing.assert_array_equal(crop, before[0])
    np.testing.assert_array_equal(mask, before[1])
    for one, other in zip(first, first[1:]):
        assert (one.image != other.image)[mask].mean() > 0.2


def test_provenance_says_what_was_swapped():
    crop, _, mask = disc()
    found = [paint(crop, mask, seed).how for seed in range(40)]
    assert {tuple(how) for how in found} == {('swap', 'outline')}
    kinds = {(how['swap'], how['outline']) for how in found}
    shapes = {('shape', kind) for kind in KINDS}
    assert kinds == {('texture', 'own'), *shapes}
    for swap in SWAPS:
        for seed in range(5):
            assert paint(crop, mask, seed, [swap]).how['swap'] == swap


def test_the_object_is_found_in_its_box():
    crop, inside, mask = disc()
    found = object_alpha(crop, mask) > 0.5
    assert (found & inside).sum() / (found | inside).sum() > 0.9


def test_a_new_texture_keeps_the_pixels_outside_the_object():
    crop, inside, mask = disc()
    near = grown(inside, REACH)
    assert near.mean() < 0.6
    for seed in range(10):
        image = paint(crop, mask, seed, ['texture']).image
        np.testing.assert_array_equal(image[~near], crop[~near])
        # In the box, but beside the object: a shadow at most.
        beside = mask & ~grown(inside, 2)
        change = crop[beside].astype(int) - image[beside]
        assert change.min() >= 0 and change.max() <= 0.35 * 255
        changed = (image != crop)[inside].any(1)
        assert changed.mean() > 0.8


def test_a_new_shape_replaces_the_object():
    """Where nothing is drawn, the ground takes the object's place."""
    crop, inside, mask = disc()
    shown = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rng.choice(['shape'])
        alpha, _ = _outline_alpha(rng, mask, OUTLINES)
        image = paint(crop, mask, seed, ['shape']).image
        near = grown(mask, REACH)
        np.testing.assert_array_equal(image[~near], crop[~near])
        bare = inside & (alpha == 0)
        shown += bare.sum()
        # Bright ground, perhaps in the shadow, in place of the dark disc.
        assert image[bare].min(initial=255) > 200 * 0.65 - 20
    assert shown > 500


def test_only_the_box_changes_in_an_image():
    image = noisy(np.full((80, 90, 3), 130.0), 10)
    box = (27, 21, 62, 56)
    for swap in SWAPS:
        result, how = paint_box(
            image, box, ProceduralPainter([swap]), 'cat', 3, feather=2
        )
        assert how['swap'] == swap
        x1, y1, x2, y2 = how['padded_box']
        outside = ~rectangle((80, 90), x1, y1, x2, y2)
        assert outside.any()
        np.testing.assert_array_equal(result[outside], image[outside])
        inside = rectangle((80, 90), *box)
        assert (result != image)[inside].any(1).mean() > 0.3
        far = ~grown(inside, 3)
        np.testing.assert_array_equal(result[far], image[far])


@pytest.mark.parametrize('swap', SWAPS)
@pytest.mark.parametrize('flat', [True, False])
@pytest.mark.parametrize(
    'shape', [(1, 1), (1, 6), (6, 1), (2, 2), (3, 3), (2, 9), (20, 30)]
)
def test_tiny_crops_and_masks(shape, flat, swap):
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (*shape, 3), np.uint8)
    crop = np.full_like(crop, 90) if flat else crop
    full, one = np.ones(shape, bool), np.zeros(shape, bool)
    one[shape[0] // 2, shape[1] // 2] = True
    corners = np.zeros(shape, bool)
    corners[0, 0] = corners[-1, -1] = True
    for mask in (full, one, corners):
        for seed in range(3):
            painted = paint(crop, mask, seed, [swap])
            assert painted.image.shape == crop.shape
            assert painted.image.dtype == np.uint8
            assert painted.how['swap'] == swap


def test_a_full_mask_is_filled():
    """There are no surroundings to take the ground from."""
    crop = noisy(np.full((40, 50, 3), 100.0), 3)
    full = np.ones((40, 50), bool)
    image = paint(crop, full, 0, ['texture']).image
    assert (image != crop).any(2).mean() > 0.9
    image = paint(crop, full, 0, ['shape']).image
    assert (np.abs(image.astype(int) - crop) > 1).any(2).mean() > 0.2


def test_it_is_built_from_a_config():
    painter = PAINTERS.build(dict(type='mmood.ProceduralPainter'))
    assert isinstance(painter, ProceduralPainter)
    assert (painter.name, painter.swaps) == ('procedural', SWAPS)
    assert painter.outlines == OUTLINES
    assert (painter.size, painter.multiple) == (None, 1)
    painter.check_classes(['anything'])


@pytest.mark.parametrize('given', [[], ['other'], 'shape', ('blob', '')])
@pytest.mark.parametrize('name', ['swaps', 'outlines'])
def test_refuses_other_swaps_and_outlines(name, given):
    with pytest.raises(ValueError, match=f'{name} must be a list of some'):
        ProceduralPainter(**{name: given})


def test_paints_at_a_size_of_its_own():
    image = np.full((90, 120, 3), 99, np.uint8)
    painter = ProceduralPainter(['shape'], size=32)
    after, how = paint_box(image, (20, 10, 100, 80), painter, 'any', 0)
    assert how['paint_size'] == [24, 32]
    assert after.shape == image.shape and (after != image).any()
