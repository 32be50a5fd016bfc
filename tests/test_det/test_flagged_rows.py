"""Priors and queries on flagged objects: ignored by the head, outliers.

Shapes: K classes, maps of a 64 x 96 px image; B images, n priors of each, L
decoder layers, Q queries.
"""

import copy

import numpy as np
import pytest
import scipy.special
import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS as MMDET
from mmengine.structures import InstanceData

import query_detectors
from batches import as_ranks
from dense_heads import HEADS, STRIDES, K, maps, ood_head, plain_head, samples
from helpers import assert_near
from loss_spy import SpyLoss
from mmood.det.models.roi_tools import record_calls
from mmood.losses import BACKGROUND

OUTLIERS = dict(type='mmood.AnnotatedOutliers')
ENERGY = dict(type='mmood.EnergyOODLoss', background=False)
DREAM_BOX = dict(losses=[ENERGY], outliers=OUTLIERS)
SPY = dict(type='mmood.SpyLoss', needs_outliers=True)
SPIED = dict(losses=[ENERGY, SPY], outliers=OUTLIERS)
# Two objects and, far from them, a third.
BOXES = torch.tensor(
    [[4.0, 4, 28, 28], [8, 30, 36, 58], [56, 16, 90, 52]]
)  # fmt: skip
FLAGGED, KNOWN = [1, 2, -1], [1, 2]
by_head = pytest.mark.parametrize('kind', HEADS)


def data_of(*labels):
    """A sample for each list of labels of the first boxes."""
    found = samples(len(labels))
    for sample, own in zip(found, labels):
        sample.gt_instances = InstanceData(
            bboxes=BOXES[: len(own)], labels=torch.tensor(own).long()
        )
    return found


def options(kind):
    """Without chance, and no anchor that is half on an object."""
    if 'retina' not in kind:
        return {}
    usual = HEADS['retina']['train_cfg']
    assigner = dict(usual['assigner'], neg_iou_thr=0.5)
    return dict(train_cfg=dict(usual, assigner=assigner))


def run(head, data, x=None):
    """Losses, and the maps that the head makes of x, by kind and level."""
    seen = []
    handle = head.register_forward_hook(lambda _, i, out: seen.append(out))
    losses = head.loss(maps(len(data)) if x is None else x, data)
    handle.remove()
    return losses, seen[0]


def total(losses, skip=('loss_uncertainty', 'loss_spy')):
    values = [v for k, v in losses.items() if 'loss' in k and k not in skip]
    values = [v if isinstance(v, list) else [v] for v in values]
    return sum(v.sum() for part in values for v in part)


def row_gradients(loss, outputs, head):
    """(B n, c) of each kind of map, priors level by level."""
    found = []
    for levels in outputs:
        grads = torch.autograd.grad(
            loss, levels, retain_graph=True, allow_unused=True
        )
        grads = [torch.zeros_like(m) if g is None else g
                 for m, g in zip(levels, grads)]  # fmt: skip
        wide = [rows_of(g, head._num_priors) for g in grads]
        found.append(torch.cat(wide, 1).flatten(0, 1))
    return found


def rows_of(level, count):
    """(B, H W A, c) of maps (B, A c, H, W)."""
    return level.permute(0, 2, 3, 1).flatten(1).reshape(
        len(level), level[0, 0].numel() * count, -1
    )  # fmt: skip


def spied(head):
    return next(x for x in head.losses.values() if isinstance(x, SpyLoss))


@by_head
@pytest.mark.parametrize('ood', [SPIED, {}], ids=['losses', 'none'])
def test_a_head_learns_as_if_there_were_no_flagged_object(kind, ood):
    """But for its priors, which are no background either."""
    plain = plain_head(kind, **options(kind)).train()
    head = ood_head(kind, like=plain, **ood, **options(kind)).train()
    losses, outputs = run(head, data_of(FLAGGED, [], [-1]))
    ours = row_gradients(total(losses), outputs, head)
    reference, maps_there = run(plain, data_of(KNOWN, [], []))
    theirs = row_gradients(total(reference), maps_there, head)
    # Of each other prior there is a lesson: YOLOX's is the objectness.
    judged = 2 if kind == 'yolox' else 0
    assert (theirs[judged].abs().sum(1) > 0).all()
    left_out = ours[judged].abs().sum(1) == 0
    assert 0 < left_out.sum() < len(left_out) / 4
    for one, other in zip(ours, theirs):
        assert not one[left_out].any()
        assert_near(one[~left_out], other[~left_out])
    if ood:
        batch = spied(head).batch
        logits = torch.cat(
            [rows_of(m, head._num_priors) for m in outputs[0]], 1
        )
        expected = logits.flatten(0, 1)[left_out, :K]
        assert_near(batch.flagged.logits, expected)
        assert_near(batch.outliers.logits, expected)
        assert batch.outliers.kind == head.scores.kind
        assert len(batch.flagged.features) == left_out.sum()


def closed_form(known, outlier, kind):
    """Ten times the focal loss of the energy as log-odds, in numpy."""
    sides = [z.detach().double().numpy() for z in (known, outlier)]
    if kind == 'sigmoid':
        energies = [-np.logaddexp(0, z).sum(1) for z in sides]
    else:
        energies = [-scipy.special.logsumexp(z, 1) for z in sides]
    p, q = map(scipy.special.expit, energies)
    values = -0.75 * p**2 * np.log1p(-p), -0.25 * (1 - q) ** 2 * np.log(q)
    return 10 * np.concatenate(values).mean()


@by_head
def test_the_loss_tells_known_from_flagged_priors(kind):
    head = ood_head(kind, **SPIED).train()
    losses, outputs = run(head, data_of(FLAGGED, KNOWN))
    batch = spied(head).batch
    known, flagged = batch.known.logits, batch.flagged.logits
    assert len(known) > 2 and len(flagged) > 0
    expected = closed_form(known, flagged, head.scores.kind)
    assert losses['loss_uncertainty'].item() == pytest.approx(expected, 1e-4)
    grads = row_gradients(losses['loss_uncertainty'], outputs, head)[0]
    assert (grads.abs().sum(1) > 0).sum() == len(known) + len(flagged)
    losses['loss_uncertainty'].backward()
    assert any(p.grad is not None and p.grad.any() for p in head.parameters())


@by_head
def test_batches_without_flags_and_of_flags_alone(kind):
    head = ood_head(kind, **SPIED).train()
    for labels, has_known, has_flags in (
        ((KNOWN, [0]), True, False),
        (([-1], [-1, -1]), False, True),
        (([], [-1]), False, True),
        (([], []), False, False),
    ):
        losses, _ = run(head, data_of(*labels))
        batch = spied(head).batch
        assert (len(batch.known) > 0) == has_known
        assert (len(batch.outliers) > 0) == has_flags
        sides = batch.known.logits, batch.outliers.logits
        value = losses['loss_uncertainty'].item()
        if has_known or has_flags:
            expected = closed_form(*sides, head.scores.kind)
            assert value == pytest.approx(expected, 1e-4)
        else:
            assert value == 0
        everything = total(losses, ())
        assert everything.isfinite()
        everything.backward()


def test_a_flagged_object_on_no_prior():
    """Smaller than the distance of points; too small for any anchor."""
    sure = dict(HEADS['retina']['train_cfg']['assigner'], min_pos_iou=0.5)
    train_cfg = dict(HEADS['retina']['train_cfg'], assigner=sure)
    for kind, more in (('fcos', {}), ('retina', dict(train_cfg=train_cfg))):
        head = ood_head(kind, **SPIED, **more).train()
        with_it, without = data_of(FLAGGED, [0]), data_of(KNOWN, [0])
        box = torch.tensor([60.5, 20.5, 61.5, 21.5])
        with_it[0].gt_instances.bboxes = torch.stack([*BOXES[:2], box])
        found, _ = run(head, with_it)
        assert len(spied(head).batch.outliers) == 0
        expected, _ = run(head, without)
        for name in set(expected) - {'loss_spy'}:
            assert_near(total({name: found[name]}, ()),
                        total({name: expected[name]}, ()))  # fmt: skip


def test_of_anchors_outside_none_is_flagged():
    """The assigner counts those inside, the losses all."""
    inside = dict(HEADS['atss']['train_cfg'], allowed_border=20)
    head = ood_head('atss', train_cfg=inside, **SPIED).train()
    _, outputs = run(head, data_of(FLAGGED, []))
    batch = spied(head).batch
    rows = [rows_of(m, 1)[0] for m in outputs[0]]
    logits = torch.cat(rows)
    distance = (batch.flagged.logits[:, None] - logits).abs().sum(2)
    assert_near(distance.amin(1), torch.zeros(len(distance)))
    points = [
        torch.stack(torch.meshgrid(torch.arange(0, 64, s),
                                   torch.arange(0, 96, s),
                                   indexing='ij')[::-1], -1).flatten(0, 1)
        for s in STRIDES]  # fmt: skip
    centers = torch.cat(points)[distance.argmin(1)]
    assert len(centers) > 1
    left, top, right, bottom = BOXES[2]
    assert ((centers[:, 0] > left) & (centers[:, 0] < right)).all()
    assert ((centers[:, 1] > top) & (centers[:, 1] < bottom)).all()


@pytest.mark.parametrize('kind', ['retina', 'fcos', 'yolox'])
def test_ranks_agree_also_where_one_has_no_flags(kind, monkeypatch):
    head = ood_head(kind, **DREAM_BOX).eval()  # no statistics of a batch
    x, data = maps(2), data_of(FLAGGED, KNOWN)

    def of(images):
        own = tuple(m[images] for m in x)
        return head.loss(own, data[images])['loss_uncertainty'].item()

    one = of(slice(0, 2))
    two = as_ranks(
        monkeypatch, lambda: of(slice(0, 1)), lambda: of(slice(1, 2))
    )
    assert sum(two) / 2 == pytest.approx(one, rel=1e-4)


@MMDET.register_module(force=True)
class UnweightedHead(ATSSHead):
    """A head whose loss counts all anchors, with weights or without."""

    def loss_by_feat_single(self, *args, **kwargs):
        anchors, scores, boxes, centers, labels, weights, *rest = args
        ones = torch.ones_like(weights)
        return super().loss_by_feat_single(
            anchors, scores, boxes, centers, labels, ones, *rest, **kwargs
        )


def test_a_head_that_cannot_leave_them_out_is_refused():
    HEADS['unweighted'] = dict(HEADS['atss'], type='UnweightedHead')
    try:
        for more in (DREAM_BOX, {}):
            head = ood_head('unweighted', **more).train()
            run(head, data_of(KNOWN))
            message = 'OODUnweightedHead learns classes from objects that'
            with pytest.raises(ValueError, match=message):
                run(head, data_of(FLAGGED))
    finally:
        del HEADS['unweighted']


def test_a_head_whose_logits_come_from_no_layer_is_refused():
    message = 'AnnotatedOutliers is not defined here: .*of one layer'
    with pytest.raises(ValueError, match=message):
        ood_head('rtmdet', with_objectness=True, **DREAM_BOX)
    head = ood_head('rtmdet', with_objectness=True).train()
    with pytest.raises(ValueError, match='OODRTMDetSepBNHead does not say'):
        run(head, data_of(FLAGGED))


def query_data(*labels, apart=False):
    found = query_detectors.samples(len(labels))
    for sample, own in zip(found, labels):
        own = torch.tensor(own).long()
        objects = InstanceData(bboxes=BOXES[: len(own)], labels=own)
        sample.gt_instances = objects[own >= 0] if apart else objects
        sample.ignored_instances = objects[(own < 0) & apart]
        sample.ignored_instances.ood = sample.ignored_instances.labels < 0
    return found


def run_query(model, data):
    """Losses, logits (L, B, Q, K + extra) and boxes of each layer."""
    seen = []
    handle = model.bbox_head.register_forward_hook(
        lambda _, i, out: seen.append(out)
    )
    torch.manual_seed(0)
    losses = model.loss(query_detectors.images(len(data)), data)
    handle.remove()
    return losses, seen[0][:2]


@pytest.mark.parametrize('kind', query_detectors.FILES)
def test_queries_on_flagged_objects_are_ignored_and_outliers(kind):
    more = dict(scores=['energy', 'dreambox'])
    model = query_detectors.ood_detector(kind, **more, **SPIED).train()
    data = query_data(FLAGGED, [-1], apart=kind == 'dino')
    before = copy.deepcopy(data)
    with record_calls(*set(model.bbox_head._layers)) as calls:
        losses, outputs = run_query(model, data)
    grads = torch.autograd.grad(total(losses), outputs, retain_graph=True)
    left_out = grads[0].abs().sum(-1) == 0
    # One query of each flagged object, of every decoder layer.
    assert left_out.sum((1, 2)).tolist() == [2] * len(left_out)
    assert not grads[1][left_out].any()
    head, batch = model.bbox_head, spied(model.bbox_head).batch
    assert_near(batch.outliers.logits, outputs[0][-1][left_out[-1]][:, :K])
    assert batch.known_labels.sort().values.tolist() == KNOWN
    expected = closed_form(
        batch.known.logits, batch.outliers.logits, head.scores.kind
    )
    assert losses['loss_uncertainty'].item() == pytest.approx(expected, 1e-4)
    own = torch.autograd.grad(
        losses['loss_uncertainty'],
        [made for _, made in calls],
        allow_unused=True,
        retain_graph=True,
    )
    taught = sum((g.abs().sum(-1) > 0).sum() for g in own if g is not None)
    assert taught == len(batch.known) + len(batch.outliers)
    # By the loss itself, of the other queries that are not denoised.
    start = outputs[0].shape[2] - query_detectors.Q
    logits = outputs[0][-1][:, start:].flatten(0, 1)
    rest = logits[~left_out[-1][:, start:].flatten()]
    labels = torch.full((len(rest),), K)
    for row, label in zip(batch.known.logits, batch.known_labels):
        labels[(rest[:, :K] - row).abs().sum(1).argmin()] = label
    count = 2 + head.bg_cls_weight * (len(rest) - 2)
    by_hand = head.loss_cls(
        rest, labels, torch.ones(len(rest)), avg_factor=count
    )
    assert_near(losses['loss_cls'].sum(), by_hand.sum(), rtol=1e-3)
    for sample, same in zip(data, before):
        assert torch.equal(
            sample.gt_instances.labels, same.gt_instances.labels
        )


def test_dino_denoises_known_objects_alone():
    plain = query_detectors.plain_detector('dino').train()
    model = query_detectors.ood_detector('dino', like=plain, **SPIED).train()
    found, _ = run_query(model, query_data(FLAGGED, [0, -1], apart=True))
    expected, _ = run_query(plain, query_data(KNOWN, [0]))
    names = [name for name in expected if 'dn_loss' in name]
    assert len(names) == 6
    for name in names:
        assert_near(found[name], expected[name], rtol=1e-3)


@pytest.mark.parametrize('kind', query_detectors.FILES)
def test_detr_of_flags_alone_and_of_none(kind):
    model = query_detectors.ood_detector(kind, **SPIED).train()
    for labels, count in ((([-1], [-1]), 2), (([], [-1]), 1), ((KNOWN,), 0)):
        losses, _ = run_query(model, query_data(*labels, apart=kind == 'dino'))
        batch = spied(model.bbox_head).batch
        assert len(batch.outliers) == count
        assert (batch.labels == BACKGROUND).any()
        everything = total(losses, ())
        assert everything.isfinite()
        everything.backward()


def test_more_flagged_objects_than_queries():
    """A DETR leaves some without one; none of them is a lesson."""
    model = query_detectors.ood_detector('deformable', **SPIED).train()
    data = query_data([])
    corner = torch.rand(30, 2) * 30
    data[0].gt_instances = InstanceData(
        bboxes=torch.cat([corner, corner + 20], 1),
        labels=torch.full((30,), -1),
    )
    losses, outputs = run_query(model, data)
    assert len(spied(model.bbox_head).batch.outliers) == query_detectors.Q
    grad = torch.autograd.grad(
        losses['loss_cls'], outputs[0], allow_unused=True
    )[0]
    assert grad is None or not grad.any()
