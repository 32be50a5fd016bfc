"""What losses and outlier sources get from the RoI heads in training.

Shapes: R RoIs, K classes, C = 32 box features, 16-channel maps of 64 px
images.
"""

import pytest
import torch
from mmengine.logging import MessageHub
from torch.nn import functional as F

from det_helpers import (
    DFDD,
    LOGISTIC,
    METHODS,
    UNCERTAINTY,
    VOS,
    K,
    box_head,
    build_head,
    painted,
    proposals,
    samples,
)
from helpers import assert_near
from mmood.det.models.roi_tools import jittered, record_calls
from mmood.losses import BACKGROUND, OODLoss
from mmood.necks import DFDDNeck
from mmood.registry import MODELS

DECOMPOSED = dict(type='mmood.DecomposedLinear')
both = pytest.mark.parametrize('kind', ['standard', 'cascade'])


@MODELS.register_module(force=True)
class BatchSpy(OODLoss):
    """Remembers the batch; its loss is the sum of the known features."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.sizes = in_channels, num_classes

    def forward(self, batch):
        self.batch = batch
        return dict(loss_spy=batch.known.features.sum())


SPY = dict(type='mmood.BatchSpy')


@pytest.fixture
def at_iteration():
    """Sets the iteration of a training of 30."""
    hub = MessageHub.get_current_instance()

    def at(iteration):
        hub.update_info('iter', iteration)
        hub.update_info('max_iters', 30)

    yield at
    for key in ('iter', 'max_iters'):
        hub.runtime_info.pop(key, None)


def test_losses_without_a_step_of_the_parent_are_refused():
    head = build_head('standard', losses=[SPY])
    with pytest.raises(RuntimeError, match='bbox_loss first'):
        head.ood_losses(())


def losses_of(head, data=None, neck=None):
    """Losses of a step on maps that are behind a neck, and their source."""
    torch.manual_seed(0)
    data = samples() if data is None else data
    x = torch.randn(len(data), 16, 8, 8, requires_grad=True)
    maps = (x,) if neck is None else neck.train()([x])
    props = [proposals(20) for _ in data]
    for prop in props:
        prop.pop('scores')
    return head.loss(maps, props, data), x


def total(losses):
    return sum(v for k, v in losses.items() if 'loss' in k)


@both
@pytest.mark.parametrize('method', METHODS)
def test_a_method_trains(kind, method):
    """One step; all parameters get finite gradients, some not zero."""
    parts, names = METHODS[method]
    if method == 'godin':
        heads = build_head(kind).bbox_head
        cfg = box_head(cls_predictor_cfg=DECOMPOSED)
        count = len(heads) if kind == 'cascade' else 1
        parts = dict(bbox_head=[cfg] * count if count > 1 else cfg)
    head = build_head(kind, **parts)
    data = painted([2, -1, 0, 3], [-1, 1, 0, 2])
    neck = DFDDNeck(16) if method == 'dfdd' else None
    losses, x = losses_of(head, data, neck)
    assert names <= set(losses)
    assert not {n for n in losses if n.startswith('s') and n[3:] in names}
    for name in names:
        assert losses[name].isfinite() and losses[name] > 0, name
    total(losses).backward()
    assert x.grad.isfinite().all()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    own = [*head.losses.parameters()]
    if head.outliers is not None:
        own += head.outliers.parameters()
    assert all(parameter.grad.abs().sum() > 0 for parameter in own)


@both
@pytest.mark.parametrize('method', [m for m in METHODS if METHODS[m][1]])
def test_the_loss_reaches_backbone_and_classifier(kind, method):
    """And in a cascade of the box heads the last one alone."""
    parts, names = METHODS[method]
    head = build_head(kind, **parts)
    neck = DFDDNeck(16) if method == 'dfdd' else None
    data = painted([2, -1, 0, 3], [-1, 1, 0, 2])
    losses, x = losses_of(head, data, neck)
    for name in names - {'loss_deblur', 'loss_flow', 'loss_gan'}:
        head.zero_grad()
        x.grad = None
        losses[name].backward(retain_graph=True)
        assert x.grad.abs().sum() > 0, name
        if kind == 'cascade':
            *early, last = head.bbox_head
            for stage in early:
                assert all(p.grad is None for p in stage.parameters())
        else:
            last = head.bbox_head
        moved = last.fc_cls.weight.grad is not None
        is_of_features = method in ('siren', 'csi')
        assert moved or is_of_features, name


@both
def test_uncertainty_of_equal_logits_has_its_closed_form(kind):
    """All logits 0: energies are -log K on both sides."""
    head = build_head(kind, **DFDD)
    torch.nn.init.zeros_(head.box_head.fc_cls.weight)
    torch.nn.init.zeros_(head.box_head.fc_cls.bias)
    losses, _ = losses_of(head, neck=DFDDNeck(16))
    log_k = torch.log(torch.tensor(float(K)))
    assert_near(
        losses['loss_uncertainty'],
        0.1 * (F.softplus(-log_k) + F.softplus(log_k)),
    )
    assert losses['loss_consistency'].abs() < 1e-6


@both
@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('start', [0, 7])
def test_all_parameters_have_gradients_whatever_comes(kind, method, start):
    """As DDP wants it: without any object, and before outliers count."""
    parts, _ = METHODS[method]
    if 'outliers' in parts:
        outliers = dict(parts['outliers'], start_iter=start)
        parts = dict(parts, outliers=outliers)
    head = build_head(kind, **parts)
    neck = DFDDNeck(16) if method == 'dfdd' else None
    for data in (samples(boxes=0), samples()):
        head.zero_grad(set_to_none=True)
        losses, x = losses_of(head, data, neck)
        total(losses).backward()
        assert torch.isfinite(x.grad).all()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@both
def test_images_without_objects_give_zero_losses(kind):
    head = build_head(kind, **DFDD)
    losses, _ = losses_of(head, samples(boxes=0), DFDDNeck(16))
    assert losses['loss_uncertainty'] == 0
    assert losses['loss_consistency'] == 0


@both
def test_no_roi_at_all(kind):
    """A cascade ends after its first stage; every rank has the same losses."""
    head = build_head(kind, losses=[dict(type='mmood.SIRENLoss'), SPY])
    data, x = samples(boxes=0), torch.randn(2, 16, 8, 8, requires_grad=True)
    props = [proposals(0) for _ in data]
    for prop in props:
        prop.pop('scores')
    losses = head.loss((x,), props, data)
    assert losses['loss_vmf'] == 0 and losses['loss_spy'] == 0
    total(losses).backward()
    assert len(head.losses['BatchSpy'].batch.labels) == 0


@pytest.mark.parametrize('kind', ['standard', 'c4', 'cascade', 'mask'])
def test_rows_of_a_batch_belong_together(kind, at_iteration):
    at_iteration(12)
    has_masks = kind == 'mask'
    head = build_head('standard' if has_masks else kind, losses=[SPY])
    width = 16 if kind == 'c4' else 32
    assert head.losses['BatchSpy'].sizes == (width, K)
    with record_calls(head.box_head) as calls:
        losses, x = losses_of(head)
    (pooled, (logits, _)), batch = calls[0], head.losses['BatchSpy'].batch
    assert batch.num_classes == K
    assert (batch.iteration, batch.max_iters) == (12, 30)
    assert torch.equal(batch.logits, logits)
    assert torch.equal(batch.inputs, pooled)
    assert_near(batch.classify(batch.features), logits)
    known = batch.labels >= 0
    assert 0 < known.sum() < len(known)
    assert set(batch.labels[~known].tolist()) == {BACKGROUND}
    assert batch.known_labels.max() < K
    again = batch.view(batch.inputs[batch.known_rows])
    assert_near(again.features, batch.features[known])
    assert_near(again.logits, logits[known, :K])
    assert batch.flagged is None and batch.outliers is None
    losses['loss_spy'].backward()
    assert x.grad.abs().sum() > 0


@both
def test_a_batch_is_of_the_rois_that_the_parent_learns_from(kind):
    """The parent's class loss is the cross entropy of its rows."""
    head = build_head(kind, losses=[SPY])
    losses, _ = losses_of(head)
    batch = head.losses['BatchSpy'].batch
    target = batch.labels.masked_fill(batch.is_background, K)
    expected = F.cross_entropy(batch.logits, target)
    if kind == 'cascade':
        assert_near(losses['s2.loss_cls'], 0.25 * expected)
    else:
        assert_near(losses['loss_cls'], expected)


@pytest.mark.parametrize('kind', ['standard', 'c4', 'cascade'])
def test_other_maps_are_looked_at_where_the_known_rois_are(kind):
    head = build_head(kind, losses=[SPY])
    neck = DFDDNeck(16)
    with record_calls(neck) as pyramids:
        losses_of(head, neck=neck)
    batch, pyramid = head.losses['BatchSpy'].batch, pyramids[0][1]
    extractor = head.bbox_roi_extractor
    if kind == 'cascade':
        extractor = extractor[-1]
    for name in ('blurred', 'deblurred'):
        with record_calls(extractor, which=1) as rois:
            found = batch.look(name)
        assert len(found) == len(batch.known)
        expected = head.view(head.pool(pyramid.maps[name], rois[0][0]))
        assert_near(found.logits, expected.logits)
        assert_near(found.features, expected.features)
    # The same places on the head's own maps give the known rows.
    same = head.view(head.pool(pyramid, rois[0][0]))
    assert_near(same.features, batch.known.features)
    pooled = batch.inputs[batch.known_rows]
    change = (batch.jitter() - pooled).abs().mean()
    assert 0 < change < pooled.abs().mean()


@both
@pytest.mark.parametrize('where', ['neck', 'pooled'])
@pytest.mark.parametrize('detach', [True, False])
def test_outliers_pull_the_maps_unless_detached(kind, where, detach):
    """Of a loss of the outliers alone."""
    outliers = dict(type='mmood.BlurredOutliers', detach=detach)
    if where == 'pooled':
        outliers['after_pooling'] = dict(type='blur')
    head = build_head(kind, losses=[UNCERTAINTY, SPY], outliers=outliers)
    _, x = losses_of(head, neck=DFDDNeck(16) if where == 'neck' else None)
    batch = head.losses['BatchSpy'].batch
    assert len(batch.outliers) == len(batch.known)
    batch.outliers.logits.square().sum().backward()
    assert head.box_head.fc_cls.weight.grad.abs().sum() > 0
    assert (x.grad is None) == detach
    assert detach or x.grad.abs().sum() > 0


def test_maps_that_no_neck_made_are_named():
    for outliers in (DFDD['outliers'], None):
        loss = DFDD['losses'][0 if outliers else 1]
        head = build_head(losses=[loss], outliers=outliers)
        with pytest.raises(ValueError, match='put an mmood.DFDDNeck'):
            losses_of(head)


@both
def test_the_losses_of_a_neck_are_collected_by_any_head(kind):
    losses, _ = losses_of(build_head(kind), neck=DFDDNeck(16))
    assert losses['loss_deblur'] > 0
    total(losses).backward()


@both
def test_outliers_wait_for_their_start(kind, at_iteration):
    outliers = dict(type='mmood.BlurredOutliers', start_share=0.5)
    head = build_head(kind, losses=[UNCERTAINTY], outliers=outliers)
    for iteration, active in ((14, False), (15, True)):
        at_iteration(iteration)
        losses, x = losses_of(head, neck=DFDDNeck(16))
        assert (losses['loss_uncertainty'] > 0) == active
        losses['loss_uncertainty'].backward()
        assert bool(x.grad.any()) == active


def test_losses_are_told_the_width_of_the_features_as_such():
    """Their own ``channels`` are those of an embedding."""
    types = ('SIRENLoss', 'CSILoss')
    losses = [dict(type=f'mmood.{name}') for name in types]
    siren, csi = build_head(losses=losses).losses.values()
    assert siren.projection[0].in_features == 32
    assert csi.projector[0].in_features == 32
    assert (siren.channels, csi.channels) == (64, 128)


def test_outliers_and_losses_need_each_other():
    with pytest.raises(ValueError, match='LogisticUncertaintyLoss'):
        build_head(outliers=VOS)
    with pytest.raises(ValueError, match='set outliers'):
        build_head(losses=[UNCERTAINTY])
    head = build_head(losses=[LOGISTIC], outliers=VOS)
    assert head.outliers.queues.memory.shape == (K, 2, 32)


def test_jittered_corners_stay_within_a_tenth():
    rois = torch.tensor([[1.0, 10, 20, 30, 60]]).repeat(1000, 1)
    moved = jittered(rois)
    assert torch.equal(moved[:, 0], rois[:, 0])
    offset = (moved - rois)[:, 1:]
    limit = torch.tensor([2.0, 4, 2, 4])
    assert (offset.abs() <= limit + 1e-4).all()
    torch.testing.assert_close(offset.std(0), limit / 3**0.5, rtol=0.1, atol=0)
