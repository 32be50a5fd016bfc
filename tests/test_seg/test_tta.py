"""Several views of an image: what pixels of their mean say of the unknown.

Shapes: V = 2 views, images of 64 x 48, K = 4 classes.
"""

import copy

import pytest
import torch
from mmseg.models.segmentors import SegTTAModel

from helpers import assert_near
from mask_segmentors import build
from mmood.hooks.fit_scores import check_views
from mmood.registry import MODELS
from mmood.seg.models import OODSegTTAModel
from seg_families import build as build_family
from seg_helpers import seg_batch

SCORES = ['rba', dict(type='mask2anomaly', flip=False), 'eam']


def views(direction):
    """An image of twice the network's size, as it is and flipped."""
    torch.manual_seed(2)
    images, samples = seg_batch(1, (64, 48))
    images = (127.5 + 60 * images).clamp(0, 255)
    samples[0].set_metainfo(dict(ori_shape=(128, 96)))
    turned = copy.deepcopy(samples[0])
    turned.set_metainfo(dict(flip=True, flip_direction=direction))
    other = images[0].flip(-1 if direction == 'horizontal' else -2)
    inputs = [[images[0]], [other]]
    return dict(inputs=inputs, data_samples=[[samples[0]], [turned]])


@torch.no_grad()
def both(model, data):
    """The merged image, and each of its views alone."""
    data = copy.deepcopy(data)
    alone = [
        model.module.test_step(
            dict(inputs=inputs, data_samples=copy.deepcopy(samples))
        )[0]
        for inputs, samples in zip(data['inputs'], data['data_samples'])
    ]
    return model.test_step(data)[0], alone


def tta(module, kind='mmood.OODSegTTAModel'):
    model = MODELS.build(dict(type=kind, module=module))
    return model.eval()


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_scores_are_the_mean_of_the_views(direction):
    model = tta(build(SCORES))
    merged, alone = both(model, views(direction))
    first, second = (sample.pred_ood for sample in alone)
    assert merged.pred_ood.score_names == ('rba', 'mask2anomaly', 'eam')
    for name in merged.pred_ood.score_names:
        mean = (first.get(name) + second.get(name)) / 2
        assert_near(merged.pred_ood.get(name), mean)
        assert merged.pred_ood.get(name).shape == (1, 128, 96)
        assert (first.get(name) - second.get(name)).abs().max() > 0.01
    assert torch.equal(merged.pred_ood.data, merged.pred_ood.rba)


def test_views_lie_on_each_other():
    """A flipped view of what does not change by a flip is the same map."""
    module = build(['mask2anomaly'])
    merged, alone = both(tta(module), views('horizontal'))
    for sample in alone:
        assert_near(merged.pred_ood.data, sample.pred_ood.data, 1e-3, 1e-4)


def test_classes_are_mmsegs():
    module = build(SCORES)
    merged, _ = both(tta(module), views('horizontal'))
    other, _ = both(tta(module, 'SegTTAModel'), views('horizontal'))
    classes = merged.pred_sem_seg.data
    assert torch.equal(classes, other.pred_sem_seg.data)
    assert classes.unique().numel() > 1


def test_is_ood_where_the_mean_exceeds_the_threshold():
    module = build(SCORES)
    merged, _ = both(tta(module), views('horizontal'))
    assert not merged.pred_ood.is_ood.any()  # not calibrated
    limit = merged.pred_ood.data.median() + 1e-6
    module.scores.thresholds['rba'].fill_(limit)
    merged, _ = both(tta(module), views('horizontal'))
    is_ood = merged.pred_ood.is_ood
    assert torch.equal(is_ood, merged.pred_ood.data > limit)
    assert 0.3 < is_ood.float().mean() < 0.7


def test_of_any_segmentor():
    module, _ = build_family('fcn', ['energy', 'msp'])
    merged, alone = both(tta(module), views('horizontal'))
    for name in ('energy', 'msp'):
        mean = sum(sample.pred_ood.get(name) for sample in alone) / 2
        assert_near(merged.pred_ood.get(name), mean)


def test_mmsegs_own_is_refused():
    module = build(SCORES)
    message = "SegTTAModel .* of segmentors 'mmood.OODSegTTAModel', or test"
    with pytest.raises(ValueError, match=message):
        check_views(tta(module, 'SegTTAModel'))
    check_views(tta(module))
    assert issubclass(OODSegTTAModel, SegTTAModel)
