"""Energies of annotated boxes against the head's own, and the leak's hook.

Shapes: K = 4 known classes of the head, label 4 unknown.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from det_helpers import K, build_head
from helpers import assert_near
from mmood.hooks import LabelledEnergiesHook
from mmood.hooks.labelled_energies import labelled_logits
from mmood.scores import energy


class Detector(nn.Module):
    """A head with maps that are the inputs; boxes are scaled by half."""

    def __init__(self, **kwargs):
        super().__init__()
        box_head = dict(
            type='mmood.PseudoUnknownBBoxHead',
            in_channels=16,
            fc_out_channels=32,
            roi_feat_size=5,
            num_classes=K + 1,
            reg_class_agnostic=True,
        )
        kwargs.setdefault('losses', [dict(type='mmood.EnergyWeibulls')])
        self.roi_head = build_head(
            type='mmood.OpenSetRoIHead',
            unknown_class=True,
            bbox_head=box_head,
            **kwargs,
        )

    def data_preprocessor(self, data, training):
        return data

    def extract_feat(self, inputs):
        return (inputs,)


def an_object(box, label, ignored=0):
    return dict(bbox=list(box), bbox_label=label, ignore_flag=ignored)


def batch_of(*images):
    samples = [
        SimpleNamespace(instances=objects, scale_factor=(0.5, 0.5))
        for objects in images
    ]
    return dict(
        inputs=torch.randn(len(images), 16, 8, 8), data_samples=samples
    )


FIRST = [an_object((0, 0, 40, 40), 2), an_object((20, 30, 90, 80), K)]
SECOND = [an_object((8, 8, 60, 100), K), an_object((50, 8, 90, 60), 0, 1)]
THIRD = [an_object((30, 30, 120, 110), 1)]


def run(model, *batches, **more):
    """The hook behind a training; lines of the log, saved checkpoints."""
    lines = []
    logger = logging.getLogger('leak')
    logger.warning = lines.append
    info = SimpleNamespace(get_info=lambda name: None)
    runner = SimpleNamespace(
        model=model,
        logger=logger,
        message_hub=info,
        build_dataloader=lambda cfg: batches,
    )
    hook = LabelledEnergiesHook(dict(), **more)
    hook.before_train(runner)
    hook.after_train(runner)
    return lines


def test_logits_are_those_of_the_boxes_on_the_maps():
    model = Detector().train()
    batch = batch_of(FIRST, [], SECOND)
    logits, is_unknown = labelled_logits(model, batch)
    assert model.training and not logits.requires_grad
    assert is_unknown.tolist() == [False, True, True]
    model.eval()
    rois = torch.tensor(
        [[0, 0, 0, 20, 20], [0, 10, 15, 45, 40], [2, 4, 4, 30, 50]]
    ).float()
    head = model.roi_head
    pooled = head.pool((batch['inputs'],), rois)
    assert_near(logits, head.bbox_head(pooled)[0][:, :K])


def test_energies_of_the_training_give_way():
    model = Detector()
    queues = model.roi_head.losses['EnergyWeibulls'].queues
    queues.append(
        torch.tensor([[50.0], [60.0], [70.0]]), torch.tensor([0, 1, 1])
    )
    batches = [batch_of(FIRST, THIRD), batch_of(SECOND)]
    assert run(model, *batches) == []
    known, unknown = [], []
    for batch in batches:
        logits, is_unknown = labelled_logits(model, batch)
        known += energy(logits[~is_unknown]).tolist()
        unknown += energy(logits[is_unknown]).tolist()
    kept, labels = queues.samples()
    for label, expected in enumerate((known, unknown)):
        found = kept[labels == label, 0].tolist()
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('images', [[[]], [THIRD, THIRD], [FIRST]])
def test_without_unknown_objects_the_energies_stay(images):
    """As in the last step, where no class is to come."""
    model = Detector()
    queues = model.roi_head.losses['EnergyWeibulls'].queues
    queues.append(torch.tensor([[5.0], [6.0]]), torch.tensor([0, 1]))
    (line,) = run(model, batch_of(*images))
    assert 'two known and two unknown' in line and 'stay' in line
    assert queues.seen.tolist() == [1, 1]
    assert sorted(queues.samples()[0].flatten().tolist()) == [5.0, 6.0]


def test_it_is_off_and_needs_energies():
    bare = Detector(losses=[])
    assert run(bare, enabled=False) == []
    with pytest.raises(ValueError, match='EnergyWeibulls.*enabled=False'):
        run(bare)
