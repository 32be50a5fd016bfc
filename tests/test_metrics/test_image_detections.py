"""What an image's detections may be."""

import numpy as np
import pytest
import torch

from mmood.metrics import ImageDetections

BOX = [0, 0, 4, 4]
GOOD = dict(
    boxes=[BOX, BOX],
    scores=[0.5, 0.9],
    labels=[1, 0],
    gt_boxes=[BOX],
    gt_labels=[1],
    gt_difficult=[0],
)


def test_lists_and_tensors_become_arrays():
    image = ImageDetections(
        torch.tensor(GOOD['boxes'], dtype=torch.bfloat16),
        torch.tensor(GOOD['scores'], requires_grad=True),
        torch.tensor(GOOD['labels']),
        GOOD['gt_boxes'],
        np.array([1.0]),
        [0],
    )
    np.testing.assert_array_equal(image.boxes, GOOD['boxes'])
    assert image.labels.dtype == np.int64 and image.labels.tolist() == [1, 0]
    assert image.gt_labels.tolist() == [1]
    assert image.gt_difficult.dtype == bool


def test_nothing_is_empty():
    image = ImageDetections(*[[]] * 6)
    assert image.boxes.shape == image.gt_boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('boxes', [BOX, [0, 0, np.nan, 4]], 'boxes has 1 of 2 boxes with nan'),
        ('gt_boxes', [[0, 0, np.inf, 4]], 'gt_boxes has 1 of 1 .*infinite'),
        ('boxes', [BOX[:3]] * 2, r'boxes must be \(n, 4\), got \(2, 3\)'),
        ('scores', [np.nan, 1], 'scores has 1 nan of 2'),
        ('labels', [0.5, 1], 'labels must be whole numbers, got 0.5'),
        ('gt_labels', [np.nan], 'gt_labels must be whole numbers, got nan'),
        ('gt_difficult', [2], 'gt_difficult must be 0 or 1, got 2'),
        ('scores', [0.5], "{'boxes': 2, 'scores': 1, 'labels': 2} rows"),
    ],
)
def test_refuses_what_it_cannot_be(field, value, message):
    with pytest.raises(ValueError, match=message):
        ImageDetections(**{**GOOD, field: value})
