"""The control of `ProceduralPainter`: known outlines through its brush."""

import cv2
import numpy as np
import pytest

from mmood.generation import ID, ProceduralPainter, paint_box
from mmood.generation.procedural import _outline_alpha
from mmood.registry import PAINTERS

CONFIG = dict(
    type='mmood.ProceduralPainter', swaps=['shape'], outlines='known'
)


def mask_of(box, size=64):
    mask = np.zeros((size, size), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def hu(alpha):
    """What of a shape does not change when it is turned, moved, scaled."""
    moments = cv2.HuMoments(cv2.moments((alpha * 255).astype(np.uint8)))
    return moments[:2, 0] ** [1, 0.5]


@pytest.mark.parametrize('name', ID)
def test_the_outline_is_that_of_the_class(name):
    canvas = np.zeros((600, 600), np.uint8)
    points = [np.round(c * 250 + 300).astype(np.int32) for c in ID[name]]
    cv2.fillPoly(canvas, points, 255)
    expected = hu(canvas / 255)
    mask = mask_of((4, 4, 60, 60))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        alpha, kind = _outline_alpha(rng, mask, 'known', name)
        assert kind == 'known'
        np.testing.assert_allclose(hu(alpha), expected, rtol=0.1, atol=0.01)


@pytest.mark.parametrize('box', [(10, 20, 50, 40), (0, 0, 64, 64)])
def test_it_is_as_large_as_the_box_allows(box):
    alpha, _ = _outline_alpha(
        np.random.default_rng(0), mask_of(box), 'known', 'star'
    )
    y, x = np.nonzero(alpha > 0)
    assert x.min() >= box[0] and y.min() >= box[1]
    assert x.max() < box[2] and y.max() < box[3]
    spans = x.max() + 1 - x.min(), y.max() + 1 - y.min()
    sides = box[2] - box[0], box[3] - box[1]
    assert max(np.divide(spans, sides)) == pytest.approx(1, abs=0.03)


def test_painted_in_place_of_the_object():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (80, 80, 3), dtype=np.uint8)
    painter = PAINTERS.build(CONFIG)
    after, how = paint_box(image, (20, 20, 60, 60), painter, 'cross', 3)
    assert how['outline'] == 'known'
    assert (after[20:60, 20:60] != image[20:60, 20:60]).any()
    again, _ = paint_box(image, (20, 20, 60, 60), painter, 'cross', 3)
    np.testing.assert_array_equal(after, again)


def test_other_classes_have_no_outline():
    ProceduralPainter(outlines='known').check_classes(['circle', 'ring'])
    ProceduralPainter().check_classes(['dog'])
    with pytest.raises(ValueError, match=r"for the classes .*got \['dog'\]"):
        ProceduralPainter(outlines='known').check_classes(['star', 'dog'])
    with pytest.raises(ValueError, match="outlines must be .*'unheard'"):
        ProceduralPainter(outlines='unheard')
