"""Outliers and further parts in the RoI head's losses.

Shapes: K classes, C = 32 box features.
"""

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from det_helpers import K, build_head, proposals, samples
from helpers import assert_near
from mmood.det.models.roi_tools import (
    has_started,
    jittered,
    record_calls,
)
from mmood.det.models.roi_tools import progress as passed
from mmood.registry import MODELS

LOGISTIC = dict(type='mmood.LogisticUncertaintyLoss')


@MODELS.register_module(force=True)
class FixedOutliers(nn.Module):
    """``count`` outliers of ones; remembers what it was called with."""

    def __init__(self, channels, count=3):
        super().__init__()
        self.channels, self.count = channels, count

    def forward(self, features, labels, active):
        self.call = features, labels, active
        number = self.count if active else 0
        made = features.new_ones((number, self.channels))
        return made, dict(loss_own=features.new_tensor(2.5))


@MODELS.register_module(force=True)
class Spy(nn.Module):
    needs_second_view = True

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.sizes = in_channels, num_classes

    def forward(self, features, labels, **context):
        self.call = dict(features=features, labels=labels, **context)
        return dict(loss_spy=features.sum())


@pytest.fixture
def progress():
    """Sets the iteration of a training of 30."""
    hub = MessageHub.get_current_instance()

    def at(iteration):
        hub.update_info('iter', iteration)
        hub.update_info('max_iters', 30)

    yield at
    for key in ('iter', 'max_iters'):
        hub.runtime_info.pop(key, None)


def losses_of(head, count=2):
    torch.manual_seed(0)
    x = torch.randn(count, 16, 8, 8, requires_grad=True)
    props = [proposals(20) for _ in range(count)]
    for prop in props:
        prop.pop('scores')
    return head.loss((x,), props, samples(count)), x


def outlier_head(**kwargs):
    outliers = dict(type='mmood.FixedOutliers')
    return build_head(outliers=outliers, loss_uncertainty=LOGISTIC, **kwargs)


@pytest.mark.parametrize(
    ('start', 'first'),
    [
        (dict(), 0),
        (dict(outlier_start_share=0.0), 0),
        (dict(outlier_start_share=2 / 3), 20),
        (dict(outlier_start_share=1), 30),
        (dict(outlier_start_iter=1), 1),
        (dict(outlier_start_iter=7), 7),
    ],
)
def test_outliers_count_from_their_start_on(progress, start, first):
    head = outlier_head(**start)
    for iteration in (first - 1, first):
        if iteration < 0:
            continue
        progress(iteration)
        losses, _ = losses_of(head)
        active = iteration >= first
        assert head.outliers.call[2] == active
        assert (losses['loss_uncertainty'] > 0) == active
        assert losses['loss_own'] == 2.5
        assert bool(head.outlier_activity.count) == active


def test_a_share_needs_a_training_loop():
    assert has_started() and has_started(0) and not has_started(None, 5)
    with pytest.raises(RuntimeError, match='set outlier_start_iter'):
        has_started(0.5)


@pytest.mark.parametrize(
    ('start', 'message'),
    [
        (dict(outlier_start_share=2), 'for an iteration set outlier_start_i'),
        (dict(outlier_start_iter=0.5), 'for a share of the training set'),
        (dict(outlier_start_iter=-1), 'from 0 on, got -1'),
        (
            dict(outlier_start_share=0.5, outlier_start_iter=3),
            'exclude each other, got 0.5 and 3: set one of them to None',
        ),
    ],
)
def test_a_start_has_one_meaning(start, message):
    with pytest.raises(ValueError, match=message):
        outlier_head(**start)


def test_loss_is_that_of_the_known_boxes_and_the_outliers():
    head = outlier_head()
    losses, _ = losses_of(head)
    features, labels, _ = head.outliers.call
    assert features.shape == (len(labels), 32) and len(labels) > 0
    assert set(labels.tolist()) <= set(range(K))
    logits = head.bbox_head.fc_cls(features)[:, :K]
    outliers = head.bbox_head.fc_cls(torch.ones(3, 32))[:, :K]
    expected = head.loss_uncertainty(logits, outliers)
    torch.testing.assert_close(losses['loss_uncertainty'], expected)


def test_before_the_start_all_parameters_have_gradients(progress):
    """As DDP wants it."""
    progress(0)
    head = outlier_head(outlier_start_iter=5)
    losses, x = losses_of(head)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
    assert head.loss_uncertainty.class_weight.grad.abs().sum() == 0


class Pyramid(tuple):
    """Maps that carry blurred ones, as a `DFDDNeck` makes them."""


@pytest.mark.parametrize('maker', ['blurred maps', 'outliers'])
def test_a_loss_may_want_features_instead_of_logits(maker):
    loss = dict(type='mmood.BlurredClassifierLoss')
    parts = dict(outliers=dict(type='mmood.FixedOutliers'))
    head = build_head(
        loss_uncertainty=loss, **(parts if maker == 'outliers' else {})
    )
    assert head.loss_uncertainty.classifier.in_features == 32
    calls = []
    head.loss_uncertainty.register_forward_hook(
        lambda _, inputs, __: calls.append(inputs)
    )
    maps = Pyramid((torch.randn(2, 16, 8, 8),))
    maps.blurred = (torch.randn(2, 16, 8, 8, requires_grad=True),)
    props = [proposals(20) for _ in range(2)]
    for prop in props:
        prop.pop('scores')
    with record_calls(head.bbox_roi_extractor, which=1) as rois:
        losses = head.loss(maps, props, samples())
    (known, outlier), count = calls[0], len(calls[0][0])
    assert known.shape == (count, 32) and count > 0
    if maker == 'outliers':
        assert torch.equal(outlier, torch.ones(3, 32))
        return
    # The known boxes' places on the blurred maps, in the same order.
    expected = head.view(head._pool(maps.blurred, rois[1][0]))
    assert len(rois[1][0]) == count
    torch.testing.assert_close(outlier, expected.features)
    losses['loss_uncertainty'].backward()
    assert maps.blurred[0].grad.any()


def test_progress_is_the_share_that_has_passed(progress):
    assert passed() == 0
    progress(12)
    assert passed() == pytest.approx(0.4)


def test_auxiliary_gets_the_known_boxes():
    head = build_head(auxiliary=dict(type='mmood.Spy'))
    assert head.auxiliary.sizes == (32, K)
    losses, x = losses_of(head)
    call = head.auxiliary.call
    count = len(call['labels'])
    assert call['factor'] == count > 0
    assert call['inputs'].shape == call['second'].shape == (count, 16, 5, 5)
    view = call['view'](call['inputs'])
    torch.testing.assert_close(view.features, call['features'])
    assert view.logits.shape == (count, K) and view.numerators is None
    change = (call['second'] - call['inputs']).abs().mean()
    assert 0 < change < call['inputs'].abs().mean()
    losses['loss_spy'].backward()
    assert x.grad.abs().sum() > 0


def test_jittered_corners_stay_within_a_tenth():
    rois = torch.tensor([[1.0, 10, 20, 30, 60]]).repeat(1000, 1)
    moved = jittered(rois)
    assert torch.equal(moved[:, 0], rois[:, 0])
    offset = (moved - rois)[:, 1:]
    limit = torch.tensor([2.0, 4, 2, 4])
    assert (offset.abs() <= limit + 1e-4).all()
    torch.testing.assert_close(offset.std(0), limit / 3**0.5, rtol=0.1, atol=0)


def test_decomposed_classifier_shows_its_numerators():
    cfg = dict(
        type='Shared2FCBBoxHead',
        in_channels=16,
        fc_out_channels=32,
        roi_feat_size=5,
        num_classes=K,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        cls_predictor_cfg=dict(type='mmood.DecomposedLinear'),
    )
    head = build_head(bbox_head=cfg, scores=['godin']).eval()
    maps = torch.randn(6, 16, 5, 5)
    view = head.view(maps)
    expected = head.bbox_head.fc_cls.numerators(view.features)
    assert_near(view.numerators, expected[:, :K])
    plain = build_head(scores=['godin']).eval()
    with pytest.raises(ValueError, match='mmood.DecomposedLinear'):
        plain.scores(plain.view(maps), maps, plain.view)
