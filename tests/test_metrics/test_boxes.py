"""Overlap of boxes against counted pixels."""

import numpy as np
import pytest

from mmood.metrics.boxes import box_iou


def pixels(box, offset):
    """A picture of a box of whole numbers, the last pixel in it or not."""
    picture = np.zeros((12, 12), bool)
    x1, y1, x2, y2 = box
    picture[y1 : y2 + offset, x1 : x2 + offset] = True
    return picture


@pytest.mark.parametrize('offset', [0, 1])
def test_all_pairs_are_those_of_counted_pixels(offset):
    corners = np.random.default_rng(0).integers(0, 11, (40, 2, 2))
    boxes = np.sort(corners, axis=1).reshape(-1, 4)
    a, b = boxes[:15], boxes[15:]
    found = box_iou(a[:, None].astype(float), b.astype(float), offset)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            p, q = pixels(one, offset), pixels(other, offset)
            expected = (p & q).sum() / max((p | q).sum(), 1)
            assert found[i, j] == pytest.approx(expected)


def test_rows_are_the_diagonal_of_all_pairs():
    corner = np.random.rand(7, 2, 2)
    a = np.concatenate([corner[:, 0], corner[:, 0] + corner[:, 1]], 1)
    np.testing.assert_allclose(
        box_iou(a, a[::-1]), np.diag(box_iou(a[:, None], a[::-1]))
    )
    assert box_iou(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)
    assert box_iou(np.zeros((0, 1, 4)), np.zeros((3, 4))).shape == (0, 3)
