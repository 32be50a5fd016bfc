"""Heads of one channel, of independent classes, of masks, within heads."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import Mask2FormerHead
from torch import nn

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.registry import MODELS
from mmood.scores import energy, joint_energy, msp
from seg_families import FAMILIES, batch, build
from seg_helpers import stock_segmentor

SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(16, 32))


@pytest.mark.parametrize('num_classes', [1, 2])
@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
def test_one_channel_is_two_classes(num_classes, test_cfg):
    head = dict(
        FAMILIES['fcn']['decode_head'],
        num_classes=num_classes,
        out_channels=1,
        threshold=0.3,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
    options = dict(decode_head=head, test_cfg=test_cfg)
    scores = ['energy', 'msp', 'gram', 'odin']
    model, cfg = build('fcn', scores, **options)
    stock = stock_segmentor(model, cfg)
    stock.data_preprocessor = model.data_preprocessor
    data = batch()
    for sample in data['data_samples']:
        sample.gt_sem_seg.data %= 2
    fit_scores(model, [copy.deepcopy(data)])
    with torch.no_grad():
        one = model.test_step(copy.deepcopy(data))[0]
        other = stock.test_step(copy.deepcopy(data))[0]
    assert_near(one.seg_logits.data, other.seg_logits.data)
    z = other.seg_logits.data.logit(eps=6e-8)
    both = torch.cat([torch.zeros_like(z), z])
    assert_near(one.pred_ood.msp[0], msp(both, 0))
    # Where the probability is near to 1 it has few digits left.
    assert_near(one.pred_ood.energy[0], energy(both, 0), 1e-2, 1e-2)
    assert one.pred_ood.gram.shape == (1, 48, 32)


def test_classes_that_are_judged_each_for_itself():
    """The energy is the joint one; an entropy over them is refused."""
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    head = dict(FAMILIES['fcn']['decode_head'], loss_decode=loss)
    model, _ = build('fcn', ['energy'], decode_head=head)
    with torch.no_grad():
        one = model.test_step(batch())[0]
    expected = joint_energy(one.seg_logits.data, 0)
    assert_near(one.pred_ood.energy[0], expected)
    message = "'entropy' is defined for softmax .* these are of sigmoid"
    with pytest.raises(ValueError, match=message):
        build('fcn', ['energy', 'entropy'], decode_head=head)


@pytest.mark.parametrize(
    ('head', 'kind'),
    [
        (dict(), 'softmax'),
        (dict(loss_decode=dict(type='LovaszLoss', reduction='none')),
         'softmax'),
        (dict(loss_decode=[dict(type='FocalLoss', loss_name='loss_focal'),
                           dict(type='DiceLoss', loss_name='loss_dice')]),
         'sigmoid'),
        (dict(loss_decode=[dict(type='CrossEntropyLoss'),
                           dict(type='DiceLoss', loss_name='loss_dice')]),
         'softmax'),
    ],
)  # fmt: skip
def test_the_losses_say_what_logits_are_of(head, kind):
    model, _ = build(
        'fcn',
        ['energy'],
        decode_head={**FAMILIES['fcn']['decode_head'], **head},
    )
    assert model.scores.kind == kind


def test_the_losses_of_a_head_within_the_head():
    """K-Net has none of its own."""
    update = dict(
        type='KernelUpdateHead',
        num_classes=4,
        num_heads=1,
        in_channels=16,
        out_channels=16,
        num_ffn_fcs=2,
        num_mask_fcs=1,
        feedforward_channels=16,
        kernel_updator_cfg=dict(
            type='KernelUpdator', in_channels=16, feat_channels=16,
            out_channels=16, act_cfg=dict(type='ReLU'),
            norm_cfg=dict(type='LN'),
        ),
    )  # fmt: skip
    head = dict(
        type='IterativeDecodeHead',
        num_stages=1,
        kernel_update_head=[update],
        kernel_generate_head=FAMILIES['fcn']['decode_head'],
    )
    model, _ = build('fcn', ['energy', 'entropy'], decode_head=head)
    with torch.no_grad():
        one = model.test_step(batch())[0]
    assert model.scores.kind == 'softmax'
    assert_near(one.pred_ood.data[0], energy(one.seg_logits.data, 0))


class MaskHead(Mask2FormerHead):
    """Mask2Former's with a convolution for all that finds masks."""

    align_corners = False

    def __init__(self):
        nn.Module.__init__(self)
        self.num_classes = self.out_channels = 4
        self.conv = nn.Conv2d(64, 4, 1)

    def forward(self, inputs):
        return self.conv(inputs[-1]).sigmoid()

    def predict(self, inputs, metas, test_cfg):
        return F.interpolate(self(inputs), metas[0]['img_shape'])


def test_sums_over_masks_are_no_logits():
    """The largest one is a score, and features are those of any model."""
    MODELS.register_module(module=MaskHead)
    options = dict(decode_head=dict(type='mmood.MaskHead'))
    try:
        model, _ = build('fcn', ['max_logit', 'knn'], **options)
        fit_scores(model, [batch(2)])
        with torch.no_grad():
            one = model.test_step(batch())[0]
        assert_near(one.pred_ood.data[0], -one.seg_logits.data.amax(0))
        assert one.pred_ood.knn.std() > 0
        for name in ('odin', 'gram', 'gen'):
            message = f"'{name}' is defined for .* of mask: take 'max_logit'"
            with pytest.raises(ValueError, match=message):
                build('fcn', [name], **options)
    finally:
        MODELS.module_dict.pop('MaskHead')
