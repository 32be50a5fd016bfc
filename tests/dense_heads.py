"""Small one-stage heads of each family, and what they are fed with.

Shapes: K classes, C = 8 channels, maps of a 64 x 96 px image.
"""

import torch
from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS as MMDET
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmood.registry import MODELS

K, WIDTH = 3, 8


@MMDET.register_module(force=True)
class UnseenHead(ATSSHead):
    """One that no adapter was written for, with a linear classifier."""

    def _init_layers(self):
        super()._init_layers()
        self.atss_cls = torch.nn.Conv2d(WIDTH, self.cls_out_channels, 1)


STRIDES = (8, 16, 32)
_POINTS = dict(type='MlvlPointGenerator', offset=0, strides=list(STRIDES))
_ANCHORS = dict(
    type='AnchorGenerator',
    octave_base_scale=4,
    scales_per_octave=2,
    ratios=[0.5, 1.0, 2.0],
    strides=list(STRIDES),
)
_ONE_ANCHOR = dict(
    type='AnchorGenerator',
    ratios=[1.0],
    octave_base_scale=8,
    scales_per_octave=1,
    strides=list(STRIDES),
)
_DELTAS = dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2])
_NMS = dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=30)
_TEST = dict(nms_pre=50, min_bbox_size=0, score_thr=0.05, **_NMS)
_MAX_IOU = dict(
    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0
)
_TRAIN = dict(allowed_border=-1, pos_weight=-1, debug=False)
_ATSS = dict(assigner=dict(type='ATSSAssigner', topk=9), **_TRAIN)
_QUALITY = dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0)
HEADS = dict(
    retina=dict(
        type='RetinaHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        anchor_generator=_ANCHORS,
        bbox_coder=_DELTAS,
        train_cfg=dict(assigner=_MAX_IOU, **_TRAIN),
    ),
    retina_softmax=dict(
        type='RetinaHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        anchor_generator=_ANCHORS,
        bbox_coder=_DELTAS,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
        train_cfg=dict(
            assigner=_MAX_IOU,
            sampler=dict(
                type='RandomSampler',
                num=64,
                pos_fraction=0.5,
                add_gt_as_proposals=False,
            ),
            **_TRAIN,
        ),
    ),
    fcos=dict(
        type='FCOSHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        strides=list(STRIDES),
        regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
        norm_cfg=dict(type='GN', num_groups=2),
    ),
    atss=dict(
        type='ATSSHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        anchor_generator=_ONE_ANCHOR,
        bbox_coder=_DELTAS,
        loss_bbox=dict(type='GIoULoss'),
        norm_cfg=dict(type='GN', num_groups=2),
        train_cfg=_ATSS,
    ),
    gfl=dict(
        type='GFLHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        anchor_generator=_ONE_ANCHOR,
        loss_cls=_QUALITY,
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
        reg_max=8,
        loss_bbox=dict(type='GIoULoss'),
        norm_cfg=dict(type='GN', num_groups=2),
        train_cfg=_ATSS,
    ),
    yolox=dict(
        type='YOLOXHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        strides=STRIDES,
        norm_cfg=dict(type='BN'),
        train_cfg=dict(
            assigner=dict(type='SimOTAAssigner', center_radius=2.5)
        ),
        test_cfg=dict(score_thr=0.01, nms=_NMS['nms']),
    ),
    rtmdet=dict(
        type='RTMDetSepBNHead',
        feat_channels=WIDTH,
        stacked_convs=1,
        share_conv=True,
        pred_kernel_size=1,
        exp_on_reg=False,
        with_objectness=False,
        anchor_generator=_POINTS,
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=_QUALITY,
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU'),
        train_cfg=dict(
            assigner=dict(type='DynamicSoftLabelAssigner', topk=13), **_TRAIN
        ),
    ),
)

HEADS['unseen'] = dict(HEADS['atss'], type='UnseenHead')


def config(kind, **more):
    """Of a head of K classes, as in mmdet."""
    own = dict(
        num_classes=K, in_channels=WIDTH, train_cfg=None, test_cfg=_TEST
    )
    return ConfigDict({**own, **HEADS[kind], **more})


def plain_head(kind, **more):
    torch.manual_seed(0)
    head = MODELS.build(config(kind, **more)).eval()
    for parameter in head.parameters():  # confidences that differ
        torch.nn.init.normal_(parameter, std=0.4)
    for layer in getattr(head, 'rtm_reg', ()):
        torch.nn.init.constant_(layer.bias, 3.0)  # boxes have a width
    return head


def ood_head(kind, scores=('energy', 'msp', 'max_logit'), like=None, **more):
    """The same with scores, and with the weights of a plain one."""
    cfg = config(kind, **more)
    of = cfg.pop('type')
    head = MODELS.build(
        dict(type='mmood.OODHead', of=f'mmdet.{of}', scores=scores, **cfg)
    )
    own = {k: v for k, v in more.items() if k not in ('losses', 'outliers')}
    state = (like or plain_head(kind, **own)).state_dict()
    assert not head.load_state_dict(state, strict=False).unexpected_keys
    return head.eval()


def maps(images=2, seed=1):
    torch.manual_seed(seed)
    return tuple(torch.randn(images, WIDTH, 64 // s, 96 // s) for s in STRIDES)


def samples(images=2):
    meta = dict(
        img_shape=(64, 96),
        ori_shape=(128, 192),
        pad_shape=(64, 96),
        batch_input_shape=(64, 96),
        scale_factor=(0.5, 0.5),
    )
    return [DetDataSample(metainfo=meta) for _ in range(images)]


def annotated(images=2, objects=3):
    """Data samples with boxes of known classes, the last image without."""
    torch.manual_seed(5)
    found = samples(images)
    for i, sample in enumerate(found):
        count = 0 if i and i == images - 1 else objects
        corner = torch.rand(count, 2) * 30
        size = 14 + torch.rand(count, 2) * 20
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + size], 1),
            labels=torch.arange(count) % K,
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return found


@torch.no_grad()
def predict(head, x=None, data=None):
    x = maps() if x is None else x
    return head.predict(x, data or samples(len(x[0])), rescale=True)
