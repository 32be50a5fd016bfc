"""What the inferencers of boxes and pixels share."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmood.visualization.inferencer import (
    class_names,
    to_float32,
)


def test_the_names_that_fit():
    assert class_names([None, ('a',), ('b', 'c')], 2) == ['b', 'c']
    assert class_names(['cat'], 1) == ['cat']  # MMEngine takes a word too
    with pytest.warns(UserWarning, match='names the 3 classes of the model'):
        names = class_names(['cat', ('a', 'b'), None], 3)
    assert names == ['class 0', 'class 1', 'class 2']


def test_full_precision_at_any_depth():
    sample = DetDataSample(metainfo=dict(img_path='a.png'))
    sample.pred_instances = InstanceData(
        scores=torch.tensor([0.5], dtype=torch.bfloat16),
        labels=torch.tensor([3]),
        is_ood=torch.tensor([True]),
    )
    to_float32(sample)
    kinds = {k: v.dtype for k, v in sample.pred_instances.items()}
    expected = (torch.float32, torch.int64, torch.bool)
    assert kinds == dict(zip(('scores', 'labels', 'is_ood'), expected))
    assert sample.pred_instances.numpy().scores.tolist() == [0.5]
