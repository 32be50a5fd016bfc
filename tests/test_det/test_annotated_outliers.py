"""What the OOD losses get of objects that are flagged OOD; the score.

Shapes: K classes, C = 32 box features, 16-channel maps of 64 px images.
"""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from det_helpers import (
    K,
    build_head,
    near_and_far,
    painted,
    predict,
    proposals,
    roi_of_each_box,
    sampled,
    samples,
)
from mmood.det.models import roi_losses
from mmood.det.models.roi_tools import record_calls
from mmood.losses import EnergyOODLoss
from mmood.necks import DFDDNeck
from mmood.registry import MODELS
from mmood.scores import energy

SOME = [[2, -1, 0], [-1, 1]]
NO_FLAGS = [[2, 1, 0], [3]]
DREAM_BOX = dict(
    outliers='annotated', loss_uncertainty=dict(type='mmood.EnergyOODLoss')
)


@MODELS.register_module(force=True)
class SidesSpy(nn.Module):
    """An OOD loss that remembers what it was called with."""

    def __init__(self, uses_background):
        super().__init__()
        self.uses_background = uses_background

    def forward(self, known, outlier, **factors):
        self.known, self.outlier, self.factors = known, outlier, factors
        return known.sum() + outlier.sum()


@MODELS.register_module(force=True)
class TwoOutliers(nn.Module):
    """Makes two outliers of ones; remembers the known objects' features."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, features, labels, active):
        self.features, self.labels = features, labels
        made = features.new_ones((2 if active else 0, self.channels))
        return made, {}


def spied(background=True, **kwargs):
    spy = dict(type='mmood.SidesSpy', uses_background=background)
    return build_head(
        **{**dict(outliers='annotated', loss_uncertainty=spy), **kwargs}
    )


def step(head, labels, maps=None):
    """Losses, and the class logits (n, K) of known, flagged and other RoIs."""
    data = painted(*labels)
    props = near_and_far(data)
    maps = (torch.randn(len(labels), 16, 8, 8),) if maps is None else maps
    results = sampled(head, props, data)
    known = [r.pos_priors[r.pos_gt_labels >= 0] for r in results]
    flagged = [r.pos_priors[r.pos_gt_labels < 0] for r in results]
    background = [r.neg_priors for r in results]
    parts = [
        logits_of(head, maps, part) for part in (known, flagged, background)
    ]
    losses = head.bbox_loss(maps, results)['loss_bbox']
    return losses, *parts


def logits_of(head, maps, boxes):
    rois = [
        torch.nn.functional.pad(part, (1, 0), value=float(i))
        for i, part in enumerate(boxes)
    ]
    return head._bbox_forward(maps, torch.cat(rois))['cls_score'][:, :K]


def same_rows(one, other):
    """Equal, in whatever order."""
    assert one.shape == other.shape
    torch.testing.assert_close(*(x[x[:, 0].argsort()] for x in (one, other)))


@pytest.fixture
def at_iteration():
    hub = MessageHub.get_current_instance()
    yield lambda number: hub.update_info('iter', number)
    hub.runtime_info.pop('iter', None)


# ----------------------------------------------------------------- sides
@pytest.mark.parametrize('background', [True, False])
@pytest.mark.parametrize('labels', [SOME, NO_FLAGS, [[-1], [-1]], [[], []]])
def test_sides_of_annotated_outliers(labels, background):
    head = spied(background)
    _, known, flagged, others = step(head, labels)
    spy = head.loss_uncertainty
    torch.testing.assert_close(spy.outlier, flagged)
    same_rows(spy.known, torch.cat([known, others]) if background else known)
    assert spy.factors['known_factor'] == len(spy.known)
    assert spy.factors['outlier_factor'] == len(flagged)


def test_factors_are_means_over_the_ranks(monkeypatch):
    monkeypatch.setattr(roi_losses, 'rank_count', lambda rows: len(rows) + 0.5)
    head = spied()
    _, known, flagged, others = step(head, SOME)
    factors = head.loss_uncertainty.factors
    assert factors['known_factor'] == len(known) + len(others) + 0.5
    assert factors['outlier_factor'] == len(flagged) + 0.5


@pytest.mark.parametrize('kind', ['Uncertainty', 'LogisticUncertainty'])
def test_background_counts_for_the_energy_loss_alone(kind):
    head = build_head(**DREAM_BOX)
    losses, known, flagged, others = step(head, SOME)
    assert len(known) and len(flagged) and len(others)
    expected = head.loss_uncertainty(torch.cat([known, others]), flagged)
    torch.testing.assert_close(losses['loss_uncertainty'], expected)
    assert expected > 0

    loss = dict(type=f'mmood.{kind}Loss')
    head = build_head(outliers='annotated', loss_uncertainty=loss)
    losses, known, flagged, _ = step(head, SOME)
    expected = head.loss_uncertainty(known, flagged)
    torch.testing.assert_close(losses['loss_uncertainty'], expected)


def test_known_objects_count_in_a_batch_without_flagged_ones():
    head = build_head(**DREAM_BOX)
    losses, known, flagged, others = step(head, NO_FLAGS)
    assert len(flagged) == 0
    expected = head.loss_uncertainty(torch.cat([known, others]), flagged)
    torch.testing.assert_close(losses['loss_uncertainty'], expected)
    assert expected > 0


@pytest.mark.parametrize('labels', [SOME, NO_FLAGS])
def test_nothing_counts_before_the_start(labels, at_iteration):
    head = spied(outlier_start_iter=7)
    for number, active in ((6, False), (7, True)):
        at_iteration(number)
        _, known, flagged, others = step(head, labels)
        spy = head.loss_uncertainty
        assert len(spy.outlier) == active * len(flagged)
        assert len(spy.known) == active * (len(known) + len(others))


def test_the_gradient_reaches_line_classifier_and_maps():
    head = build_head(**DREAM_BOX)
    x = torch.randn(2, 16, 8, 8, requires_grad=True)
    losses, *_ = step(head, SOME, (x,))
    losses['loss_uncertainty'].backward()
    line, classifier = head.loss_uncertainty.linear, head.bbox_head.fc_cls
    for gradient in (line.weight.grad, line.bias.grad, x.grad):
        assert gradient.abs().sum() > 0
    # The background's logit takes no part in the energy.
    of_class = classifier.weight.grad.abs().sum(1)
    assert (of_class[:K] > 0).all() and of_class[K] == 0


# ------------------------------------------------------- other outliers
@pytest.mark.parametrize('background', [True, False])
def test_flagged_objects_join_those_that_a_method_makes(background):
    head = spied(background, outliers=dict(type='mmood.TwoOutliers'))
    _, known, flagged, others = step(head, SOME)
    made = head.bbox_head.fc_cls(torch.ones(2, 32))[:, :K]
    spy, maker = head.loss_uncertainty, head.outliers
    torch.testing.assert_close(spy.outlier, torch.cat([made, flagged]))
    same_rows(spy.known, torch.cat([known, others]) if background else known)
    # It makes them from known objects alone.
    features = head.bbox_head.fc_cls(maker.features)[:, :K]
    torch.testing.assert_close(features, known)
    assert sorted(set(maker.labels.tolist())) == [0, 1, 2]


def test_flagged_objects_join_the_blurred_ones_of_dfdd():
    head = spied(False, outliers=None)
    x = DFDDNeck(16).train()([torch.randn(2, 16, 8, 8)])
    data = painted(*SOME)
    results = sampled(head, near_and_far(data), data)
    known = [r.pos_priors[r.pos_gt_labels >= 0] for r in results]
    flagged = [r.pos_priors[r.pos_gt_labels < 0] for r in results]
    head.bbox_loss(x, results)
    spy = head.loss_uncertainty
    torch.testing.assert_close(spy.known, logits_of(head, x, known))
    # Blurred known objects, and the painted ones as they are.
    expected = torch.cat(
        [logits_of(head, x.blurred, known), logits_of(head, x, flagged)]
    )
    torch.testing.assert_close(spy.outlier, expected)


def test_they_are_left_out_where_nothing_learns_from_them():
    losses, *_ = step(build_head(), SOME)
    assert set(losses) == {'loss_cls', 'loss_bbox', 'acc'}


def test_losses_that_want_blurred_maps_name_the_other_way():
    head = build_head(loss_uncertainty=DREAM_BOX['loss_uncertainty'])
    with pytest.raises(ValueError, match="or set outliers.*'annotated'"):
        step(head, SOME)


# ----------------------------------------------------------------- score
def test_score_of_a_box_is_the_line_through_its_rois_energy():
    head = build_head(scores=['dreambox', 'energy'], **DREAM_BOX).eval()
    assert isinstance(head.loss_uncertainty, EnergyOODLoss)
    nn.init.constant_(head.loss_uncertainty.linear.weight, 1.7)
    nn.init.constant_(head.loss_uncertainty.linear.bias, -0.6)
    head.ood_threshold.fill_(-3.2)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(12)
    with record_calls(head.bbox_head.fc_cls) as calls:
        kept = predict(head, maps, [props], data)[0]
    logits = calls[0][1]
    probs = logits.softmax(1)[:, :K]
    roi = roi_of_each_box(kept, probs)
    assert len(set(roi)) > 3
    expected = 1.7 * energy(logits[roi, :K]) - 0.6
    torch.testing.assert_close(kept.ood_scores, expected)
    torch.testing.assert_close(kept.ood_scores_dreambox, expected)
    assert torch.equal(kept.is_ood, kept.ood_scores > -3.2)


def test_score_goes_by_the_trained_line_also_in_a_copy():
    """As the running average of a model is one."""
    head = build_head(scores=['dreambox'], **DREAM_BOX).eval()
    other = copy.deepcopy(head)
    nn.init.constant_(other.loss_uncertainty.linear.bias, 5.0)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(9)
    ours, theirs = (
        predict(h, maps, [copy.deepcopy(props)], data)[0].ood_scores
        for h in (head, other)
    )
    torch.testing.assert_close(theirs, ours + 5)
    # The line is a part of the loss alone, and is saved once.
    lines = [n for n in head.state_dict() if n.endswith('linear.weight')]
    assert lines == ['loss_uncertainty.linear.weight']


def test_score_needs_its_loss():
    with pytest.raises(ValueError, match="unknown score 'dreambox'"):
        build_head(scores=['dreambox'])


def test_refuses_another_word_for_outliers():
    with pytest.raises(ValueError, match="'annotated', got 'painted'"):
        build_head(**{**DREAM_BOX, 'outliers': 'painted'})
    with pytest.raises(ValueError, match='without loss_uncertainty'):
        build_head(outliers='annotated')
