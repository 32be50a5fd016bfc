# OpenDet (CVPR 2022).
contrastive = dict(
    type='mmood.InstanceContrastiveLoss',
    channels=128,
    queue_size=256,
    max_enqueued=16,
    temperature=0.1,
    loss_weight=0.1,
)
unknown_probability = dict(
    type='mmood.UnknownProbabilityLoss',
    top_k=3,
    alpha=1.0,
    start=100,
    loss_weight=1.0,
)
cosine_head = dict(
    type='ConvFCBBoxHead',
    num_cls_fcs=2,
    num_reg_fcs=2,
    reg_class_agnostic=True,
    cls_predictor_cfg=dict(
        type='mmdet.NormedLinear', tempearture=20, bias=False
    ),
)
