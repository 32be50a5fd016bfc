"""The Shapes scenes: reproducible, consistent, never empty."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from mmood.generation import FAR, ID, NEAR, render_scene, shapes

EVERYTHING = {**ID, **NEAR, **FAR}


def scene(seed, outlines=EVERYTHING, **options):
    options = dict(size=64) | options
    return render_scene(np.random.default_rng(seed), outlines, **options)


@pytest.mark.parametrize('seed', range(3))
def test_a_seed_makes_one_scene(seed):
    first, second = scene(seed), scene(seed)
    assert first.names == second.names
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instances, second.instances)
    assert (scene(seed + 100).image != first.image).mean() > 0.5


def test_the_generator_goes_on_to_other_scenes():
    rng = np.random.default_rng(0)
    first, second = (render_scene(rng, ID, size=64) for _ in range(2))
    assert (first.image != second.image).mean() > 0.5


@pytest.mark.parametrize('seed', range(10))
def test_instances_match_the_names(seed):
    made = scene(seed)
    found = np.unique(made.instances)
    np.testing.assert_array_equal(found, np.arange(len(made.names) + 1))
    assert made.image.shape == (64, 64, 3)
    assert made.instances.shape == (64, 64)
    assert made.image.dtype == made.instances.dtype == np.uint8


def test_names_come_from_the_outlines_and_all_of_them():
    for outlines in (ID, NEAR, FAR):
        names = {n for s in range(30) for n in scene(s, outlines).names}
        assert names == set(outlines)


@pytest.mark.parametrize('size', [64, 128])
def test_every_scene_has_an_object(size):
    for outlines in (ID, NEAR, FAR):
        for seed in range(34):
            made = scene(seed, outlines, size=size, max_objects=1)
            assert len(made.names) == 1, seed
            assert (made.instances == 1).sum() >= made.instances.size // 256


def test_number_of_objects_spans_the_range():
    counts = {len(scene(s, max_objects=3).names) for s in range(30)}
    assert counts == {1, 2, 3}


@pytest.mark.parametrize('share', [0.3, 0.6, 1.0])
def test_objects_keep_their_visible_share(share, monkeypatch):
    fits, accepted = shapes._fits, []

    def record(inside, *args):
        ok = fits(inside, *args)
        if ok:
            accepted.append(int(inside.sum()))
        return ok

    monkeypatch.setattr(shapes, '_fits', record)
    covered = 0
    for seed in range(30):
        accepted.clear()
        made = scene(seed, max_objects=6, min_visible=share)
        assert len(accepted) == len(made.names)
        visible = np.bincount(made.instances.ravel())[1:]
        assert (visible >= share * np.array(accepted)).all()
        covered += int((visible < accepted).sum())
    # Objects do cover each other, so the bound was put to the test.
    assert (covered > 0) == (share < 1)


def test_objects_are_drawn_where_the_mask_says():
    flat = np.full((64, 64, 3), 250.0, np.float32)
    rng = np.random.default_rng(1)
    alpha = shapes._outline_mask(rng, ID['circle'], 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, 'texture', lambda *_: flat)
        patch.setattr(shapes, 'light', lambda *_: np.ones((64, 64)))
        painted = shapes.add_object(rng, np.zeros((64, 64, 3)), alpha)
    expected = 250.0 * np.repeat(alpha[..., None], 3, 2)
    np.testing.assert_allclose(painted, expected, atol=1e-3)


def drawn(contours):
    """Mask of an outline, one unit long 100 pixels."""
    canvas = np.zeros((300, 300), np.uint8)
    pixels = [np.round(c * 100 + 150).astype(np.int32) for c in contours]
    cv2.fillPoly(canvas, pixels, 1)
    return canvas


@pytest.mark.parametrize('name', EVERYTHING)
def test_outlines_fill_the_unit_circle(name):
    points = np.concatenate(EVERYTHING[name])
    radius = np.linalg.norm(points, axis=1).max()
    assert 0.8 <= radius <= 1.25
    share = drawn(EVERYTHING[name]).sum() / (np.pi * 100**2)
    assert 0.1 < share < 1


@pytest.mark.parametrize('name', EVERYTHING)
def test_outlines_are_one_piece_and_only_some_have_a_hole(name):
    canvas = drawn(EVERYTHING[name])
    pieces, _ = cv2.connectedComponents(canvas)
    outside, _ = cv2.connectedComponents(1 - canvas, connectivity=4)
    assert pieces == 2
    assert outside == (3 if name in ('ring', 'frame', 'gear') else 2)


def test_names_of_the_three_sets_are_disjoint():
    for a, b in combinations((ID, NEAR, FAR), 2):
        assert not set(a) & set(b)
    assert all((ID, NEAR, FAR))


def test_refuses_no_outlines():
    with pytest.raises(ValueError, match='outlines .*got none'):
        scene(0, {})


@pytest.mark.parametrize('size', [0, 31])
def test_refuses_tiny_images(size):
    with pytest.raises(ValueError, match=f'32 pixels, got {size}'):
        scene(0, size=size)
