# OW-DETR (CVPR 2022): of the queries without an object those in whose boxes
# the backbone's map is largest are taken for unknown objects; what is an
# object, known or so, is told from the background. Stored images are the
# runner's.
pseudo = dict(type='mmood.AttentionPseudoUnknown', num_pseudo=5, start_epoch=0)
objectness = dict(type='mmood.ObjectnessLoss', loss_weight=0.1)
ood = dict(
    losses=['$objectness'],
    head=dict(
        unknown_class=True,
        pseudo='$pseudo',
        cls_predictor_cfg=dict(
            type='mmood.GrowingLinear', num_seen='$num_seen'
        ),
    ),
)
