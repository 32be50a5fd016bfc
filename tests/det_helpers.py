"""A small RoI head and what it is fed with.

Shapes: R RoIs, K classes, 16-channel maps of a 64 px image.
"""

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

K = 4


@MODELS.register_module(force=True)
class TinySharedHead(nn.Conv2d):
    """What stands between RoI layer and heads in a C4 detector."""

    def __init__(self):
        super().__init__(16, 16, 3, padding=1)


def box_head(**kwargs):
    """Config of a box head of K classes, with 32 box features."""
    cfg = dict(
        type='Shared2FCBBoxHead',
        in_channels=16,
        fc_out_channels=32,
        roi_feat_size=5,
        num_classes=K,
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0] * 4,
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
        reg_class_agnostic=False,
        loss_cls=dict(type='CrossEntropyLoss'),
        loss_bbox=dict(type='L1Loss'),
    )
    return {**cfg, **kwargs}


def extractor(size):
    return dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=2),
        out_channels=16,
        featmap_strides=[8],
    )


def train_cfg(iou=0.5):
    return dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=iou,
            neg_iou_thr=iou,
            min_pos_iou=iou,
            match_low_quality=False,
        ),
        sampler=dict(
            type='RandomSampler',
            num=16,
            pos_fraction=0.5,
            add_gt_as_proposals=True,
        ),
        mask_size=14,
        pos_weight=-1,
        debug=False,
    )


CASCADE = dict(
    type='mmood.OODCascadeRoIHead',
    num_stages=3,
    stage_loss_weights=[1, 0.5, 0.25],
    bbox_head=[
        box_head(reg_class_agnostic=True, bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_stds=[part] * 4))
        for part in (0.1, 0.07, 0.05)
    ],
    train_cfg=[train_cfg(iou) for iou in (0.5, 0.6, 0.7)],
)  # fmt: skip
MASK = dict(
    mask_roi_extractor=extractor(7),
    mask_head=dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=16,
        conv_out_channels=8,
        num_classes=K,
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
    ),
)
C4_BOX_HEAD = box_head(type='BBoxHead', with_avg_pool=True)
C4_BOX_HEAD.pop('fc_out_channels')
# What differs from the head of Faster R-CNN.
KINDS = dict(
    standard={},
    agnostic=dict(bbox_head=box_head(reg_class_agnostic=True)),
    mask=MASK,
    c4=dict(
        shared_head=dict(type='TinySharedHead'),
        bbox_head=C4_BOX_HEAD,
    ),
    cascade=CASCADE,
    cascade_mask={**CASCADE, **MASK},
)
# Of a method the arguments of a head, and the losses' names.
UNCERTAINTY = dict(type='mmood.UncertaintyLoss')
LOGISTIC = dict(type='mmood.LogisticUncertaintyLoss')
DFDD = dict(
    losses=[UNCERTAINTY, dict(type='mmood.ConsistencyLoss')],
    outliers=dict(type='mmood.BlurredOutliers'),
)
VOS = dict(type='mmood.VirtualOutlierSynthesis', queue_size=2, patience=0)
METHODS = dict(
    dfdd=(DFDD, {'loss_uncertainty', 'loss_consistency', 'loss_deblur'}),
    vos=(dict(losses=[LOGISTIC], outliers=VOS), {'loss_uncertainty'}),
    ffs=(
        dict(
            losses=[LOGISTIC],
            outliers=dict(type='mmood.FlowFeatureSynthesis'),
        ),
        {'loss_uncertainty', 'loss_flow'},
    ),
    gan=(
        dict(
            losses=[dict(type='mmood.ConfidenceLoss')],
            outliers=dict(type='mmood.GANSynthesis'),
        ),
        {'loss_uncertainty', 'loss_gan'},
    ),
    siren=(dict(losses=[dict(type='mmood.SIRENLoss')]), {'loss_vmf'}),
    csi=(
        dict(losses=[dict(type='mmood.CSILoss')]),
        {'loss_csi', 'loss_csi_shift'},
    ),
    godin=({}, set()),
    dream_box=(
        dict(
            losses=[dict(type='mmood.EnergyOODLoss')],
            outliers=dict(type='mmood.AnnotatedOutliers'),
        ),
        {'loss_uncertainty'},
    ),
)


STOCK = {
    'mmood.OODRoIHead': 'StandardRoIHead',
    'mmood.OODCascadeRoIHead': 'CascadeRoIHead',
}


def build_head(kind='standard', *, stock=False, **kwargs):
    """One of `KINDS`; ``stock``: of mmdet's own class."""
    cfg = dict(
        type='mmood.OODRoIHead',
        bbox_roi_extractor=extractor(5),
        bbox_head=box_head(),
        train_cfg=train_cfg(),
        test_cfg=dict(
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=20,
            mask_thr_binary=0.5,
        ),
    )
    cfg.update(KINDS[kind])
    if stock:
        cfg['type'] = STOCK[cfg['type']]
    cfg.update(kwargs)
    return MODELS.build(ConfigDict(cfg))


def proposals(count):
    low = torch.rand(count, 2) * 40
    boxes = torch.cat([low, low + 4 + torch.rand(count, 2) * 20], 1)
    return InstanceData(bboxes=boxes, scores=torch.rand(count))


def samples(count=2, boxes=2):
    result = []
    for _ in range(count):
        meta = dict(
            img_shape=(64, 64), ori_shape=(128, 128), scale_factor=(0.5, 0.5)
        )
        sample = DetDataSample(metainfo=meta)
        gt = proposals(boxes)
        sample.gt_instances = InstanceData(
            bboxes=gt.bboxes, labels=torch.randint(K, (boxes,))
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
        result.append(sample)
    return result


def roi_of_each_box(kept, probs):
    """Index of the RoI, with class probabilities (R, K), of each box."""
    return [
        int((probs[:, label] - score).abs().argmin())
        for label, score in zip(kept.labels, kept.scores)
    ]


def predict(head, maps, props, data):
    with torch.no_grad():
        return head.predict(maps, props, data, rescale=True)


def painted(*labels):
    """An image for each list of labels, -1 for objects that are flagged.

    Objects lie on a diagonal, apart from each other.
    """
    result = []
    for sample, of_image in zip(samples(len(labels), 0), labels):
        low = torch.arange(len(of_image))[:, None] * 16.0 + torch.rand(1, 2)
        boxes = torch.cat([low, low + 9 + 3 * torch.rand(len(low), 2)], 1)
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.tensor(of_image, dtype=torch.long)
        )
        result.append(sample)
    return result


def near_and_far(data, copies=3, others=20):
    """Proposals of each image: near its objects, and anywhere."""
    result = []
    for sample in data:
        boxes = sample.gt_instances.bboxes.repeat(copies, 1)
        boxes = boxes + torch.rand_like(boxes)
        anywhere = proposals(others).bboxes
        result.append(InstanceData(bboxes=torch.cat([boxes, anywhere])))
    return result


def sampled(head, props, data):
    """Sampling results as `StandardRoIHead.loss` makes them."""
    result = []
    for prop, sample in zip(props, data):
        prop = InstanceData(priors=prop.bboxes)
        gt, ignored = sample.gt_instances, sample.ignored_instances
        assigned = head.bbox_assigner.assign(prop, gt, ignored)
        result.append(head.bbox_sampler.sample(assigned, prop, gt))
    return result
