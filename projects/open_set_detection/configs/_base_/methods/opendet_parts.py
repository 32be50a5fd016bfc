# What OpenDet (CVPR 2022) consists of, alone and with DFDD.
custom_imports = dict(
    imports=['projects.open_set_detection.open_set_detection']
)
top_k = 3  # for the two images of a GPU's batch, as published
unknown_start = 100
opendet_losses = [
    dict(
        type='mmood.InstanceContrastiveLoss',
        channels=128,
        queue_size=256,
        max_enqueued=16,
        temperature=0.1,
        loss_weight=0.1,
    ),
    dict(
        type='mmood.UnknownProbabilityLoss',
        top_k='$top_k',
        alpha=1.0,
        start='$unknown_start',
        loss_weight=1.0,
    ),
]
opendet_head = dict(
    type='mmood.OpenSetRoIHead',
    unknown_class=True,
    bbox_head=dict(
        type='ConvFCBBoxHead',
        num_cls_fcs=2,
        num_reg_fcs=2,
        reg_class_agnostic=True,
        cls_predictor_cfg=dict(
            type='mmdet.NormedLinear', tempearture=20, bias=False
        ),
    ),
)
