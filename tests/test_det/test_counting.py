"""Which boxes count."""

import torch
from mmengine.structures import InstanceData

from mmood.det.counting import counting_boxes


def test_rules_of_the_protocols():
    boxes = InstanceData(
        scores=torch.tensor([0.75, 0.25, 0.5]),
        max_class_scores=torch.tensor([0.75, 0.5, 0.5]),
    )
    assert counting_boxes(boxes, 0.5).tolist() == [True, True, True]
    assert counting_boxes(boxes, 0.625).tolist() == [True, False, False]
    own = counting_boxes(boxes, 0.5, 'dreambox')
    assert own.tolist() == [True, False, False]
    del boxes.max_class_scores  # of a stock detector
    assert counting_boxes(boxes, 0.375).tolist() == [True, False, True]
    assert counting_boxes(boxes[:0], 0.5).tolist() == []
