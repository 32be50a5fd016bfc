"""What the OOD losses get of objects that are flagged OOD; the score.

Shapes: K classes, C = 32 box features, 16-channel maps of 64 px images.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
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
from helpers import assert_near
from mmood.det.models.roi_tools import record_calls
from mmood.losses import OODLoss
from mmood.necks import DFDDNeck
from mmood.outliers import OutlierSource
from mmood.registry import MODELS
from mmood.scores import energy

SOME = [[2, -1, 0], [-1, 1]]
NO_FLAGS = [[2, 1, 0], [3]]
ANNOTATED = dict(type='mmood.AnnotatedOutliers')
DREAM_BOX = dict(losses=[dict(type='mmood.EnergyOODLoss')], outliers=ANNOTATED)


@MODELS.register_module(force=True)
class SidesSpy(OODLoss):
    """An OOD loss that remembers the logits of both sides."""

    needs_outliers = True

    def __init__(self, background):
        super().__init__()
        self.background = background

    def forward(self, batch):
        known, outliers = batch.contrast(self.background)
        self.known, self.outlier = known.logits, outliers.logits
        return dict(loss_spy=self.known.sum() + self.outlier.sum())


@MODELS.register_module(force=True)
class TwoOutliers(OutlierSource):
    """Makes two outliers of ones; remembers the batch."""

    def forward(self, batch):
        self.batch = batch
        made = batch.features.new_ones((2, batch.features.shape[1]))
        return batch.classified(made), {}


def spied(background=True, outliers=ANNOTATED):
    spy = dict(type='mmood.SidesSpy', background=background)
    return build_head(losses=[spy], outliers=outliers)


def spy_of(head):
    return head.losses['SidesSpy']


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
    return {**losses, **head.ood_losses(maps)}, *parts


def logits_of(head, maps, boxes):
    rois = [
        F.pad(part, (1, 0), value=float(i)) for i, part in enumerate(boxes)
    ]
    return head._bbox_forward(maps, torch.cat(rois))['cls_score'][:, :K]


def same_rows(one, other):
    """Equal, in whatever order."""
    assert one.shape == other.shape
    assert_near(*(x[x[:, 0].argsort()] for x in (one, other)))


@pytest.fixture
def at_iteration():
    hub = MessageHub.get_current_instance()
    yield lambda number: hub.update_info('iter', number)
    hub.runtime_info.pop('iter', None)


@pytest.mark.parametrize('background', [True, False])
@pytest.mark.parametrize('labels', [SOME, NO_FLAGS, [[-1], [-1]], [[], []]])
def test_sides_of_annotated_outliers(labels, background):
    head = spied(background)
    _, known, flagged, others = step(head, labels)
    spy = spy_of(head)
    assert_near(spy.outlier, flagged)
    same_rows(spy.known, torch.cat([known, others]) if background else known)
    assert head.outliers.activity.count == len(flagged)


def test_the_energy_loss_is_that_of_its_closed_form():
    """The line starts as the energy itself: its focal loss, by hand."""
    head = build_head(**DREAM_BOX)
    losses, known, flagged, others = step(head, SOME)
    assert len(known) and len(flagged) and len(others)
    known, outlier = energy(torch.cat([known, others])), energy(flagged)
    p_known, p_outlier = torch.sigmoid(-known), torch.sigmoid(outlier)
    parts = [
        -0.75 * (1 - p_known) ** 2 * p_known.log(),
        -0.25 * (1 - p_outlier) ** 2 * p_outlier.log(),
    ]
    assert_near(losses['loss_uncertainty'], 10 * torch.cat(parts).mean())


def test_known_objects_count_in_a_batch_without_flagged_ones():
    head = build_head(**DREAM_BOX)
    losses, known, flagged, others = step(head, NO_FLAGS)
    assert len(flagged) == 0
    p_known = torch.sigmoid(-energy(torch.cat([known, others])))
    expected = 7.5 * ((1 - p_known) ** 2 * -p_known.log()).mean()
    assert_near(losses['loss_uncertainty'], expected)


@pytest.mark.parametrize('labels', [SOME, NO_FLAGS])
def test_nothing_counts_before_the_start(labels, at_iteration):
    head = spied(outliers=dict(ANNOTATED, start_iter=7))
    for number, active in ((6, False), (7, True)):
        at_iteration(number)
        with record_calls(head.bbox_head) as calls:
            _, known, flagged, others = step(head, labels)
        spy = spy_of(head)
        assert len(spy.outlier) == active * len(flagged)
        assert len(spy.known) == active * (len(known) + len(others))
        # Three of `step`, the parent's, and one of the flagged RoIs.
        assert len(calls) == 4 + (active and len(flagged) > 0)


def test_the_gradient_reaches_line_classifier_and_maps():
    head = build_head(**DREAM_BOX)
    x = torch.randn(2, 16, 8, 8, requires_grad=True)
    losses, *_ = step(head, SOME, (x,))
    losses['loss_uncertainty'].backward()
    line = head.losses['EnergyOODLoss'].linear
    for gradient in (line.weight.grad, line.bias.grad, x.grad):
        assert gradient.abs().sum() > 0
    # The background's logit takes no part in the energy.
    of_class = head.bbox_head.fc_cls.weight.grad.abs().sum(1)
    assert (of_class[:K] > 0).all() and of_class[K] == 0


@pytest.mark.parametrize('background', [True, False])
def test_flagged_objects_join_those_that_a_method_makes(background):
    head = spied(background, dict(type='mmood.TwoOutliers'))
    _, known, flagged, others = step(head, SOME)
    made = head.bbox_head.fc_cls(torch.ones(2, 32))[:, :K]
    spy, batch = spy_of(head), head.outliers.batch
    assert_near(spy.outlier, torch.cat([made, flagged]))
    same_rows(spy.known, torch.cat([known, others]) if background else known)
    # It makes them from known objects alone.
    assert_near(batch.known.logits, known)
    assert sorted(set(batch.known_labels.tolist())) == [0, 1, 2]


def test_flagged_objects_join_the_blurred_ones_of_dfdd():
    head = spied(False, dict(type='mmood.BlurredOutliers'))
    x = DFDDNeck(16).train()([torch.randn(2, 16, 8, 8)])
    data = painted(*SOME)
    results = sampled(head, near_and_far(data), data)
    known = [r.pos_priors[r.pos_gt_labels >= 0] for r in results]
    flagged = [r.pos_priors[r.pos_gt_labels < 0] for r in results]
    head.bbox_loss(x, results)
    head.ood_losses(x)
    spy = spy_of(head)
    assert_near(spy.known, logits_of(head, x, known))
    # Blurred known objects, and the painted ones as they are.
    parts = [
        logits_of(head, x.maps['blurred'], known),
        logits_of(head, x, flagged),
    ]
    assert_near(spy.outlier, torch.cat(parts))


def test_they_are_left_out_where_nothing_learns_from_them():
    losses, *_ = step(build_head(), SOME)
    assert set(losses) == {'loss_cls', 'loss_bbox', 'acc'}


@pytest.mark.parametrize('kind', ['standard', 'cascade'])
def test_score_of_a_box_is_the_line_through_its_rois_energy(kind):
    head = build_head(kind, scores=['dreambox', 'energy'], **DREAM_BOX).eval()
    line = head.losses['EnergyOODLoss'].linear
    nn.init.constant_(line.weight, 1.7)
    nn.init.constant_(line.bias, -0.6)
    head.scores.thresholds['dreambox'].fill_(-3.2)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(12)
    with record_calls(head.box_head.fc_cls) as calls:
        kept = predict(head, maps, [props], data)[0]
    logits = calls[0][1]
    if kind == 'standard':
        roi = roi_of_each_box(kept, logits.softmax(1)[:, :K])
        assert len(set(roi)) > 3
        assert_near(kept.ood_scores, 1.7 * energy(logits[roi, :K]) - 0.6)
    expected = 1.7 * kept.ood_scores_energy - 0.6
    assert_near(kept.ood_scores, expected)
    assert_near(kept.ood_scores_dreambox, expected)
    assert torch.equal(kept.is_ood, kept.ood_scores > -3.2)


def test_score_goes_by_the_trained_line_also_in_a_copy():
    """As the running average of a model is one."""
    head = build_head(scores=['dreambox'], **DREAM_BOX).eval()
    other = copy.deepcopy(head)
    nn.init.constant_(other.losses['EnergyOODLoss'].linear.bias, 5.0)
    maps, data, props = (torch.randn(1, 16, 8, 8),), samples(1), proposals(9)
    ours, theirs = (
        predict(h, maps, [copy.deepcopy(props)], data)[0].ood_scores
        for h in (head, other)
    )
    assert_near(theirs, ours + 5)
    # The line is a part of the loss alone, and is saved once.
    lines = [n for n in head.state_dict() if n.endswith('linear.weight')]
    assert lines == ['losses.EnergyOODLoss.linear.weight']


def test_score_needs_its_loss():
    with pytest.raises(ValueError, match="'dreambox'.*add .*EnergyOODLoss"):
        build_head(scores=['dreambox'])
