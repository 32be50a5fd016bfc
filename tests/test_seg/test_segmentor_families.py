"""Any `EncoderDecoder` of mmseg: convolutions, transformers, one channel."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import nn

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.registry import MODELS
from mmood.scores import energy, joint_energy, msp
from seg_helpers import (
    assert_best_classes,
    lively,
    seg_batch,
    stock_segmentor,
    tiny_segmentor,
)

BN = dict(type='BN')
RESNET = dict(
    type='ResNetV1c',
    depth=18,
    base_channels=8,
    stem_channels=8,
    dilations=(1, 1, 2, 4),
    strides=(1, 2, 1, 1),
    norm_cfg=BN,
)
HEAD = dict(num_classes=4, dropout_ratio=0.0, norm_cfg=BN)
FAMILIES = dict(
    fcn=dict(
        backbone=RESNET,
        decode_head=dict(
            HEAD, type='FCNHead', in_channels=64, channels=16, num_convs=1
        ),
        probe=dict(module='backbone.layer4', channels=64),
    ),
    deeplabv3plus=dict(
        backbone=RESNET,
        decode_head=dict(
            HEAD,
            type='DepthwiseSeparableASPPHead',
            in_channels=64,
            channels=16,
            dilations=(1, 2),
            c1_in_channels=8,
            c1_channels=4,
        ),
        probe=dict(module='decode_head.sep_bottleneck', channels=16),
    ),
    segformer=dict(
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
        ),
        decode_head=dict(
            HEAD,
            type='SegformerHead',
            in_channels=[8, 8, 8, 8],
            in_index=[0, 1, 2, 3],
            channels=16,
        ),
    ),
    segmenter=dict(
        backbone=tiny_segmentor()['backbone'],
        decode_head=dict(
            type='SegmenterMaskTransformerHead',
            in_channels=32,
            channels=32,
            num_classes=4,
            num_layers=1,
            num_heads=2,
            embed_dims=32,
            dropout_ratio=0.0,
        ),
    ),
    cgnet=dict(
        backbone=dict(
            type='CGNet',
            norm_cfg=BN,
            num_channels=(16, 16, 16),
            num_blocks=(1, 1),
        ),
        decode_head=dict(
            HEAD,
            type='FCNHead',
            in_channels=32,
            in_index=2,
            channels=32,
            num_convs=0,
            concat_input=False,
        ),
        probe=dict(module='backbone', index=-1, channels=32),
    ),
)
SCORES = ['energy', 'msp', 'mahalanobis', dict(type='knn', k=2), 'gram']
COMPOUND = dict(type='compound', of=['msp', 'knn'])
SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(16, 32))


def build(family, scores, **options):
    model = dict(FAMILIES[family], type='mmood.OODEncoderDecoder')
    preprocessor = dict(tiny_segmentor()['data_preprocessor'])
    more = dict(scores=scores, data_preprocessor=preprocessor)
    cfg = ConfigDict({**model, **more, **options})
    cfg.setdefault('test_cfg', dict(mode='whole'))
    built = lively(MODELS.build(cfg))
    for module in built.modules():
        if hasattr(module, 'momentum'):
            module.momentum = 1.0
    with torch.no_grad():
        built.train()._forward(torch.randn(4, 3, 48, 32))
    return built.eval(), cfg


def batch(seed=1):
    torch.manual_seed(seed)
    images, samples = seg_batch(2, (48, 32))
    images = (127.5 + 60 * images).clamp(0, 255)
    return dict(inputs=list(images), data_samples=samples)


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
@pytest.mark.parametrize('family', FAMILIES)
def test_scores_of_any_family(family, test_cfg):
    """Fitted, thresholded, beside the class maps of mmseg."""
    model, cfg = build(family, [COMPOUND, *SCORES], test_cfg=test_cfg)
    stock = stock_segmentor(model, cfg)
    stock.data_preprocessor = model.data_preprocessor
    state = stock.state_dict()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not missing and not unexpected
    fit_scores(model, [batch(2)])
    with torch.no_grad():
        ours = model.test_step(batch())
        expected = stock.test_step(batch())
    for one, other in zip(ours, expected):
        logits = other.seg_logits.data
        assert_near(one.seg_logits.data, logits, atol=1e-3)
        assert_best_classes(one.pred_sem_seg.data[0], logits)
        maps = one.pred_ood
        assert_near(maps.energy[0], energy(logits, dim=0), atol=1e-3)
        names = [s if isinstance(s, str) else s['type'] for s in SCORES]
        assert maps.score_names == ('compound', *names)
        for name in maps.score_names:
            found = maps.get(name)
            assert found.shape == (1, 48, 32) and found.isfinite().all()
            assert found.std() > 0
        assert torch.equal(maps.data, maps.compound)
        assert not maps.is_ood.any()
    threshold = ours[0].pred_ood.data.median()
    model.scores.thresholds['compound'].fill_(threshold)
    with torch.no_grad():
        again = model.test_step(batch())[0].pred_ood
    assert 0.2 < again.is_ood.float().mean() < 0.7
    other, _ = build(family, [COMPOUND, *SCORES], test_cfg=test_cfg)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert_near(other.test_step(batch())[0].pred_ood.data, again.data)


def test_an_image_smaller_than_the_window():
    """One window, as in whole mode."""
    slide = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    scores = [dict(COMPOUND, of=['energy', 'knn']), *SCORES, 'odin']
    model, _ = build('fcn', scores, test_cfg=slide)
    fit_scores(model, [batch(2)])
    with torch.no_grad():
        found = model.test_step(batch())[0].pred_ood
        model.test_cfg = ConfigDict(mode='whole')
        expected = model.test_step(batch())[0].pred_ood
    for name in expected.score_names:
        assert_near(found.get(name), expected.get(name))


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


class MaskHead(nn.Module):
    """Stands for mmseg's Mask2FormerHead: no loss of pixels."""

    num_classes = out_channels = 4
    align_corners = False

    def __init__(self):
        super().__init__()
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
        for name in ('energy', 'msp', 'entropy', 'odin', 'gram'):
            message = f"'{name}' is defined for .* of mask: take 'max_logit'"
            with pytest.raises(ValueError, match=message):
                build('fcn', [name], **options)
    finally:
        MODELS.module_dict.pop('MaskHead')


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
def test_odin_moves_the_image_of_each_window(test_cfg):
    """Towards the certain; without a move it is the MSP of logits / T."""
    still = dict(type='odin', temperature=1.0, epsilon=0.0)
    moved = dict(type='odin', name='moved', temperature=1.0, epsilon=0.05)
    model, _ = build('fcn', ['msp', still, moved], test_cfg=test_cfg)
    with torch.no_grad():
        maps = model.test_step(batch())[0].pred_ood
    if test_cfg is not SLIDE:
        assert_near(maps.odin, maps.msp, atol=1e-4)
    assert (maps.odin - maps.moved).mean() > 1e-3
    assert not any(p.grad is not None for p in model.parameters())
