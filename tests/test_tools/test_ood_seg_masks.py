"""Masks of OOD segmentation sets, on drawn shapes and by hand."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
masks = importlib.import_module('ood_seg_masks')


def square():
    """A square of 20 pixels with label 0 on 3."""
    labels = np.full((40, 40), 3, np.uint8)
    labels[10:30, 10:30] = 0
    return labels


def test_refine_without_radii_keeps_the_labels():
    labels = np.array([[0, 1, 2], [7, 254, 255]])
    mask = masks.refine(labels, [0, 7], [255])
    assert mask.tolist() == [[1, 0, 0], [1, 0, 255]]
    assert mask.dtype == np.uint8


@pytest.mark.parametrize('radius', [1, 2, 5])
def test_refine_half_plane(radius):
    """Opening and closing leave a straight edge alone; the band is exact."""
    labels = np.full((30, 40), 9)
    labels[:, :20] = 0
    mask = masks.refine(
        labels, [0], opening=radius, closing=radius, dilation=radius
    )
    expected = [1] * 20 + [255] * radius + [0] * (20 - radius)
    assert (mask == expected).all()


def test_opening_cuts_the_corners_of_a_square_by_a_plus():
    mask = masks.refine(square(), [0], opening=1)
    assert (mask == 1).sum() == 400 - 4
    assert (mask == 255).sum() == 4
    assert mask[10, 10] == mask[29, 29] == 255


def test_opening_ignores_specks_and_closing_fills_holes():
    labels = square()
    labels[2:5, 2:5] = labels[:, 36] = 0
    labels[18:21, 18:21] = 3
    mask = masks.refine(labels, [0], opening=2, closing=2)
    assert (mask[2:5, 2:5] == 255).all() and (mask[:, 36] == 255).all()
    assert (mask[18:21, 18:21] == 1).all()
    labels[labels == 3] = 4
    assert (mask == masks.refine(labels, [0], opening=2, closing=2)).all()


def test_closing_does_not_take_what_is_ignored():
    labels = square()
    labels[18:21, 18:21] = 255
    mask = masks.refine(labels, [0], [255], closing=3)
    assert (mask[18:21, 18:21] == 255).all()
    assert (mask == 1).sum() == 400 - 9


@pytest.mark.parametrize('radius', [1, 3, 4])
def test_band_is_a_euclidean_distance(radius):
    rng = np.random.default_rng(radius)
    labels = (rng.random((50, 60)) > 0.01).astype(np.uint8)
    mask = masks.refine(labels, [0], dilation=radius)
    distance = ndimage.distance_transform_edt(labels)
    expected = np.where(distance <= radius, 255, 0)
    np.testing.assert_array_equal(mask, np.where(labels == 0, 1, expected))


def test_describe_by_hand():
    mask = np.zeros((4, 5), np.uint8)
    mask[0, 0] = mask[1, 1] = mask[2, 2] = 1  # touch at corners: one region
    mask[0, 4] = 1
    mask[3] = 255
    labels = np.tile([1, 2, 2, 3, 3], (4, 1))
    labels[3] = 9
    record = masks.describe(labels, mask)
    assert record == dict(share=0.2, regions=[3, 1], id_classes=3)
    nothing = masks.describe(labels, np.full_like(mask, 255))
    assert nothing == dict(share=0.0, regions=[], id_classes=0)


@pytest.mark.parametrize(
    ('record', 'reason'),
    [
        (dict(share=0.2, regions=[30, 2], id_classes=1), None),
        (dict(share=0.19, regions=[30], id_classes=1), 'OOD share below'),
        (dict(share=0.2, regions=[29, 29], id_classes=1), 'largest region'),
        (dict(share=1.0, regions=[90], id_classes=0), 'no ID pixel'),
        (dict(share=0.0, regions=[], id_classes=3), 'no OOD region'),
        (dict(problem='broken'), 'broken'),
    ],
)
def test_rejection(record, reason):
    found = masks.rejection(record, 0.2, 30)
    assert found == reason or found.startswith(reason)


def test_statistics_by_hand():
    records = [
        dict(share=0.1, regions=[100, 20], id_classes=4),
        dict(share=0.4, regions=[300, 40, 10], id_classes=1),
    ]
    assert masks.statistics(records) == {
        'images': 2,
        'OOD share of an image': dict(mean=0.25, min=0.1, max=0.4),
        'regions per image': dict(mean=2.5, min=2, max=3),
        'pixels of a region': {
            'min': 10, '25 %': 20, 'median': 40, '75 %': 100, 'max': 300,
        },
        'ID classes per image': dict(mean=2.5, min=1, max=4),
    }  # fmt: skip


def test_preview():
    image = Image.new('RGB', (400, 600), (100, 100, 100))
    mask = np.zeros((600, 400), np.uint8)
    mask[:300], mask[300:400] = 1, 255
    pair = np.asarray(masks.preview(image, mask))
    assert pair.shape == (150, 200, 3)
    assert (pair[:, :100] == 100).all()
    assert (pair[0, 100:] == [177, 50, 50]).all()
    assert (pair[80, 100:] == 114).all() and (pair[149, 100:] == 100).all()
