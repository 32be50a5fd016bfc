"""What the RPN learns of OOD objects, against the stock RPN head.

Shapes: 16-channel maps of 64 px images, 8 x 8 places with 3 anchors each.
"""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from det_helpers import proposals
from helpers import assert_near
from mmood.det.models.ood_rpn_head import ROLES

FLAGS = [[0, 1, 0], [1, 1, 0], [0]]


def build(ood=None, ignore_iof_thr=0.5, **kwargs):
    """A head with the same weights each time; None: the stock one."""
    torch.manual_seed(1)
    kind = dict(type='RPNHead')
    if ood is not None:
        kind = dict(type='mmood.OODRPNHead', ood=ood)
    cfg = dict(
        **kind,
        in_channels=16,
        feat_channels=16,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[2], ratios=[0.5, 1, 2], strides=[8]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss'),
        train_cfg=ConfigDict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                ignore_iof_thr=ignore_iof_thr,
            ),
            # More than there are anchors: no chance in it.
            sampler=dict(
                type='RandomSampler',
                num=1000,
                pos_fraction=0.5,
                add_gt_as_proposals=False,
            ),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
    )
    return MODELS.build({**cfg, **kwargs})


def batch(flags=FLAGS):
    """Samples as the detector hands them on: labels 0, and the flags."""
    torch.manual_seed(0)
    samples = []
    for of_image in flags:
        gt = InstanceData(bboxes=proposals(len(of_image)).bboxes)
        gt.labels = torch.zeros(len(of_image), dtype=torch.long)
        gt.ood = torch.tensor(of_image, dtype=torch.bool)
        meta = dict(img_shape=(64, 64), pad_shape=(64, 64))
        sample = DetDataSample(metainfo=meta, gt_instances=gt)
        sample.ignored_instances = InstanceData(
            bboxes=torch.tensor([[0.0, 41, 21, 64]])
        )
        samples.append(sample)
    return samples


def losses_of(head, samples):
    torch.manual_seed(2)
    maps = torch.randn(len(samples), 16, 8, 8)
    losses = head.loss((maps,), samples)
    return {name: torch.stack(values) for name, values in losses.items()}


def without_outliers(samples, ignored=False):
    """What the stock head gets: known objects, the others perhaps ignored."""
    for sample in samples:
        gt = sample.gt_instances
        if ignored:
            boxes = torch.cat(
                [gt.bboxes[gt.ood], sample.ignored_instances.bboxes]
            )
            sample.ignored_instances = InstanceData(bboxes=boxes)
        sample.gt_instances = gt[~gt.ood]
    return samples


def reference(role, samples):
    if role != 'object':
        samples = without_outliers(samples, ignored=role == 'ignore')
    return losses_of(build(), samples)


@pytest.mark.parametrize(
    ('role', 'flags'),
    [
        *((role, FLAGS) for role in ROLES),
        ('object', [*FLAGS, [1, 1], []]),
        ('background', [*FLAGS, [1, 1], []]),
    ],
)
def test_losses_equal_those_of_the_stock_head(role, flags):
    ours = losses_of(build(role), batch(flags))
    stock = reference(role, batch(flags))
    assert set(ours) == set(stock) == {'loss_rpn_cls', 'loss_rpn_bbox'}
    for name, value in ours.items():
        assert_near(value, stock[name])
        assert value > 0


def test_the_roles_differ_where_there_are_outliers_and_only_there():
    values = [losses_of(build(r), batch())['loss_rpn_cls'] for r in ROLES]
    assert len({value.item() for value in values}) == 3
    known = [[0, 0, 0], [0]]
    values = [losses_of(build(r), batch(known)) for r in ROLES]
    for name, value in values[0].items():
        assert_near(value, values[1][name])
        assert_near(value, values[2][name])


@pytest.mark.parametrize('role', ROLES)
def test_a_batch_of_outliers_alone(role):
    head = build(role)
    losses = losses_of(head, batch([[1, 1], [1]]))
    assert (losses['loss_rpn_bbox'] > 0) == (role == 'object')
    if role != 'ignore':
        stock = reference(role, batch([[1, 1], [1]]))
        for name, value in losses.items():
            assert_near(value, stock[name])
    sum(losses.values()).sum().backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


def test_anchors_on_outliers_do_not_count_where_nothing_else_is():
    """The stock assigner makes them background if all is ignored."""
    samples = batch([[1, 1]])
    gt, crowd = samples[0].gt_instances, samples[0].ignored_instances
    head = build('ignore')
    maps = torch.randn(1, 16, 8, 8)
    logits = head((maps,))[0][0].permute(0, 2, 3, 1).flatten()
    anchors = head.prior_generator.grid_priors([(8, 8)], device='cpu')[0]
    # The share of each anchor that lies in an ignored box.
    low = torch.maximum(anchors[:, None, :2], boxes_of(gt, crowd)[:, :2])
    high = torch.minimum(anchors[:, None, 2:], boxes_of(gt, crowd)[:, 2:])
    area = (anchors[:, 2:] - anchors[:, :2]).prod(1, keepdim=True)
    on_ignored = ((high - low).clamp(0).prod(2) / area > 0.5).any(1)
    assert 0 < on_ignored.sum() < len(anchors) == 192
    terms = torch.nn.functional.softplus(logits) * ~on_ignored
    losses = head.loss((maps,), samples)
    # mmdet counts one positive at least.
    expected = terms.sum() / (192 + 1)
    assert_near(losses['loss_rpn_cls'][0], expected)


def boxes_of(*parts):
    return torch.cat([part.bboxes for part in parts])


@pytest.mark.parametrize('role', ROLES)
def test_without_objects_to_ignore_in_the_call(role):
    """mmdet's own callers leave them out at times."""
    args = (torch.randn(2, 3, 8, 8),), (torch.randn(2, 12, 8, 8),)
    args = [list(part) for part in args]
    samples = batch(FLAGS[:2])
    gts = [sample.gt_instances for sample in samples]
    metas = [sample.metainfo for sample in samples]
    ours = build(role).loss_by_feat(*args, gts, metas)
    known = gts if role == 'object' else [gt[~gt.ood] for gt in gts]
    ignored = None
    if role == 'ignore':
        ignored = [InstanceData(bboxes=gt.bboxes[gt.ood]) for gt in gts]
    stock = build().loss_by_feat(*args, known, metas, ignored)
    for name, values in ours.items():
        assert_near(torch.stack(values), torch.stack(stock[name]))


def test_the_samples_themselves_stay_as_they_are():
    """The RoI head learns from them too."""
    for role in ROLES:
        samples, untouched = batch(), batch()
        losses_of(build(role), samples)
        for sample, before in zip(samples, untouched):
            for part in ('gt_instances', 'ignored_instances'):
                bboxes = sample.get(part).bboxes
                assert torch.equal(bboxes, before.get(part).bboxes)
            assert sample.gt_instances.ood.tolist() == (
                before.gt_instances.ood.tolist()
            )


def test_only_other_roles_than_object_need_flags():
    samples = batch()
    for sample in samples:
        del sample.gt_instances.ood
    stock = losses_of(build(), samples)
    for name, value in losses_of(build('object'), samples).items():
        assert_near(value, stock[name])
    for role in ('ignore', 'background'):
        with pytest.raises(ValueError, match='mmood.PackOODInputs'):
            losses_of(build(role), samples)


def test_refuses_another_role():
    with pytest.raises(ValueError, match="'object'.*got 'outlier'"):
        build('outlier')


@pytest.mark.parametrize('threshold', [-1, 0])
def test_refuses_to_ignore_where_the_assigner_does_not(threshold):
    for role in ('object', 'background'):
        build(role, ignore_iof_thr=threshold)
    with pytest.raises(ValueError, match=f'ignore_iof_thr={threshold}: set'):
        build('ignore', ignore_iof_thr=threshold)


def test_a_head_for_inference_alone_has_no_assigner():
    assert build('ignore', train_cfg=None).ood == 'ignore'
