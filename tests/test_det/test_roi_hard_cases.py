"""RoI heads in half precision, on ranks with nothing, behind stock heads.

Shapes: K classes, 16-channel maps of 64 px images.
"""

import sys

import pytest
import torch
import torch.distributed as dist
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from det_helpers import METHODS, build_head, painted, proposals, samples
from helpers import run_script
from mmood.necks import DFDDNeck

# Labels of the objects in the images of a step, on each of two ranks.
STEPS = [
    ([[], []], [[0, 1, 2, 3], [3, 2, 1, 0]]),
    ([[0, 1], [2, 3]], [[], []]),
    ([[-1], [-1, -1]], [[1], [2]]),
    ([[-1], []], [[], [-1]]),
    ([[0, 1, 2], [3]], [[0, 1, 2, -1], [3]]),
]
by_kind = pytest.mark.parametrize('kind', ['standard', 'cascade'])


class Detector(nn.Module):
    """A convolution, DFDD's neck where it is needed, and a RoI head."""

    def __init__(self, kind, method):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 1)
        self.neck = DFDDNeck(16) if method == 'dfdd' else None
        self.roi_head = build_head(kind, **METHODS[method][0])

    def forward(self, labels):
        data = painted(*labels)
        props = [proposals(20) for _ in data]
        for prop in props:
            prop.pop('scores')
        # RoIAlign has no half precision on a CPU.
        with torch.autocast('cpu', enabled=False):
            maps = (self.conv(torch.randn(len(data), 16, 8, 8)),)
            maps = maps if self.neck is None else self.neck(maps)
        losses = self.roi_head.loss(maps, props, data)
        return sum(v for k, v in losses.items() if 'loss' in k)


def check_step(model, labels):
    model.zero_grad()
    loss = model(labels)
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@by_kind
@pytest.mark.parametrize('method', METHODS)
def test_half_precision(kind, method):
    """As under `AmpOptimWrapper`, with and without objects."""
    model = Detector(kind, method)
    for labels in ([[2, -1, 0, 3], [1, 0]], [[], []], [[-1], [-1]]):
        with torch.autocast('cpu', torch.bfloat16):
            check_step(model, labels)


def test_ranks_without_objects_wait_for_none(tmp_path):
    """All make the same collective calls; buffers of all ranks agree."""
    output = run_script(__file__, ranks=2)
    assert output.count('done') == 2, output


def main():
    dist.init_process_group('gloo')
    init_default_scope('mmdet')
    rank = dist.get_rank()
    for kind in ('standard', 'cascade'):
        for method in METHODS:
            torch.manual_seed(0)
            model = DistributedDataParallel(Detector(kind, method))
            for step, labels in enumerate(STEPS):
                torch.manual_seed(10 * rank + step)
                check_step(model, labels[rank])
            for name, own in model.module.named_buffers():
                largest = own.double()
                dist.all_reduce(largest, dist.ReduceOp.MAX)
                if 'activity' not in name:  # counts of its own rank
                    same = largest.isclose(own.double(), equal_nan=True)
                    assert same.all(), (kind, method, name)
    # The group must not end with the model that holds it last: that waits for
    # a thread of gloo, with the lock that the thread needs.
    del model
    print('done')
    dist.destroy_process_group()


@by_kind
def test_no_loss_of_a_neck_is_lost_behind_a_stock_head(kind):
    """Also where nothing checks the model before the training."""
    head = build_head(kind, stock=True)
    for deblur in (False, True):
        props = [proposals(20)]
        props[0].pop('scores')
        neck = DFDDNeck(16, deblur=deblur).train()
        losses = head.loss(neck([torch.randn(1, 16, 8, 8)]), props, samples(1))
        total = sum(v for k, v in losses.items() if 'loss' in k)
        if not deblur:
            total.backward()
            continue
        with pytest.raises(RuntimeError, match='no head .* loss_deblur'):
            total.backward()


def test_no_loss_of_a_neck_is_lost_behind_a_dense_head():
    head = MODELS.build(
        dict(
            type='RetinaHead',
            num_classes=4,
            in_channels=16,
            feat_channels=8,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                scales=[4],
                ratios=[1.0],
                strides=[8],
            ),
            train_cfg=dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=0.5,
                    neg_iou_thr=0.4,
                    min_pos_iou=0,
                ),
                sampler=dict(type='PseudoSampler'),
                allowed_border=-1,
                pos_weight=-1,
            ),
        )
    )
    maps = DFDDNeck(16).train()([torch.randn(1, 16, 8, 8)])
    data = samples(1)
    data[0].set_metainfo(dict(pad_shape=(64, 64)))
    losses = head.loss(maps, data)
    with pytest.raises(RuntimeError, match='no head .* loss_deblur'):
        sum(map(sum, losses.values())).backward()


if __name__ == '__main__':
    main(*sys.argv[1:])
