"""Training with OOD losses under heads without RoIs.

Shapes: K classes, 8-channel maps of a 64 x 96 px image.
"""

from functools import partial

import pytest
import torch
from mmdet.models.dense_heads import RetinaHead

import query_detectors
from dense_heads import HEADS, K, annotated, maps, ood_head, plain_head
from helpers import assert_near
from loss_spy import SpyLoss
from mmood.det.models.roi_tools import record_calls
from mmood.det.models.rows import counting_places
from mmood.losses import BACKGROUND, IGNORE
from mmood.necks.pyramid import Pyramid

SPY = [dict(type='mmood.SpyLoss')]
SIREN = [dict(type='mmood.SIRENLoss')]
BLUR = dict(
    losses=[dict(type='mmood.UncertaintyLoss')],
    outliers=dict(type='mmood.BlurredOutliers'),
)


def spied(head):
    return next(x for x in head.losses.values() if isinstance(x, SpyLoss))


def test_the_background_is_drawn():
    labels = torch.full((100,), BACKGROUND)
    assert len(counting_places(labels)) == 16
    labels[:10], labels[10:40] = 1, IGNORE
    places = counting_places(labels)
    assert places[:10].tolist() == list(range(10))
    rest = places[10:].tolist()
    assert len(set(rest)) == 30 and min(rest) >= 40
    assert counting_places(labels[:0]).shape == (0,)
    assert counting_places(labels[:5]).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('kind', HEADS)
def test_the_losses_of_the_head_are_as_before(kind):
    plain = plain_head(kind)
    head = ood_head(kind, like=plain, losses=SIREN)
    x, data = maps(), annotated()
    torch.manual_seed(0)
    expected = plain.train().loss(x, data)
    torch.manual_seed(0)
    found = head.train().loss(x, data)
    assert set(found) == {*expected, 'loss_vmf'}
    for name, value in expected.items():
        for ours, theirs in zip(*map(listed, (found[name], value))):
            assert_near(ours, theirs)
    found['loss_vmf'].backward()
    assert all(layer.weight.grad is None for layer in head._layers)


def listed(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize('kind', HEADS)
def test_a_batch_has_what_is_assigned_and_where(kind):
    head = ood_head(kind, losses=SPY).train()
    x, data = maps(), annotated()
    classified = []
    handle = head.loss_cls.register_forward_pre_hook(
        lambda _, inputs: classified.append(inputs)
    )
    with record_calls(*set(head._layers)) as calls:
        head.loss(x, data)
    handle.remove()
    batch = spied(head).batch
    # What the head's own classification loss is told of classes.
    counts = torch.zeros(K)
    for _, target, *_ in classified:
        target = target[0] if isinstance(target, tuple) else target
        if target.dim() == 2:  # YOLOX: a row for each prior of an object
            target = target.argmax(1)
        counts += target[target < K].bincount(minlength=K)
    found = batch.known_labels.bincount(minlength=K)
    assert torch.equal(found.float(), counts) and counts.sum() > 1
    assert batch.is_background.sum() >= 16
    # Logits and features are those of one prior.
    wide = head.cls_out_channels
    count = calls[0][1].shape[1] // wide
    logits = torch.cat(
        [out.permute(0, 2, 3, 1).reshape(-1, wide) for _, out in calls]
    )
    features = torch.cat([
        seen.permute(0, 2, 3, 1).flatten(0, 2).repeat_interleave(count, 0)
        for seen, _ in calls])  # fmt: skip
    rows = (batch.logits[:, None] - logits[None]).abs().sum(2).argmin(1)
    assert torch.equal(batch.logits, logits[rows])
    assert torch.equal(batch.features, features[rows])
    assert batch.kind == head.scores.kind


@pytest.mark.parametrize('kind', HEADS)
def test_outliers_on_blurred_maps_are_the_known_rows_there(kind):
    head = ood_head(kind, **dict(BLUR, losses=[dict(
        type='mmood.SpyLoss', needs_outliers=True)])).eval()  # fmt: skip
    x, data = maps(), annotated()
    same = Pyramid(x, dict(blurred=x), dict(loss_deblur=x[0].mean()))
    losses = head.loss(same, data)
    assert {'loss_spy', 'loss_deblur'} <= set(losses)
    batch = spied(head).batch
    assert_near(batch.outliers.logits, batch.known.logits)
    assert_near(batch.outliers.features, batch.known.features)
    other = Pyramid(x, dict(blurred=tuple(m.flip(2) for m in x)))
    head.loss(other, data)
    batch = spied(head).batch
    assert (batch.outliers.logits - batch.known.logits).abs().max() > 0.01
    head.zero_grad()
    head.loss(other, data)['loss_spy'].backward()
    assert head._layers[0].weight.grad.abs().sum() > 0


def test_virtual_outliers_where_the_classifier_is_linear():
    vos = dict(
        losses=[dict(type='mmood.LogisticUncertaintyLoss')],
        outliers=dict(
            type='mmood.VirtualOutlierSynthesis', queue_size=2, patience=0
        ),
    )
    head = ood_head('unseen', **vos).train()
    for _ in range(3):
        losses = head.loss(maps(), annotated())
    assert losses['loss_uncertainty'] > 0
    assert head.outliers.activity.count > 0
    for kind, reason in (
        ('retina', 'other weights for each of 6 anchors'),
        ('rtmdet', 'each level has a layer of its own'),
    ):
        message = f'VirtualOutlierSynthesis is not defined here: .*{reason}'
        with pytest.raises(ValueError, match=message):
            ood_head(kind, **vos)


@pytest.mark.parametrize(
    'more, message',
    [
        (dict(losses=[dict(type='mmood.CSILoss')]), 'CSILoss is not defined'),
        (
            dict(losses=[dict(type='mmood.ConsistencyLoss')]),
            'ConsistencyLoss is not defined',
        ),
    ],
)
def test_what_is_not_defined_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        ood_head('retina', **more)
    with pytest.raises(ValueError, match=message):
        query_detectors.ood_detector('dino', **more)


def test_a_head_that_does_not_say_what_it_assigns():
    head = ood_head('retina', losses=SPY).train()
    head._get_targets_single = partial(RetinaHead._get_targets_single, head)
    with pytest.raises(ValueError, match='RetinaHead does not say what it'):
        head.loss(maps(), annotated())


@pytest.mark.parametrize('kind', query_detectors.FILES)
def test_queries_that_are_matched_are_known(kind):
    plain = query_detectors.plain_detector(kind)
    model = query_detectors.ood_detector(
        kind, like=plain, losses=[*SPY, dict(SIREN[0], channels=16)]
    )
    x, data = query_detectors.images(), query_detectors.samples()
    torch.manual_seed(0)
    expected = plain.train().loss(x, data)
    torch.manual_seed(0)
    found = model.train().loss(x, data)
    assert set(found) == {*expected, 'loss_vmf', 'loss_spy'}
    for name, value in expected.items():
        assert_near(found[name], value, rtol=1e-3)
    batch = spied(model.bbox_head).batch
    # One query for each object, of its class.
    assert batch.known_labels.sort().values.tolist() == [0, 0, 1, 1, 2, 2]
    head, last = model.bbox_head, None
    for layer in head._layers:
        if torch.allclose(layer(batch.features), batch.logits, atol=1e-4):
            last = layer
    assert last is not None
    assert last is head._layers[min(2, len(head._layers)) - 1]
    found['loss_vmf'].backward()
