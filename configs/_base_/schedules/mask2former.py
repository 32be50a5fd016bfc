# Mask2Former on Cityscapes, as in MMSegmentation: 8 GPUs with 2 crops each.
max_iters = 90000
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters='$max_iters', val_interval=5000
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=1e-4, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1, decay_mult=1.0),
            query_embed=embedding,
            query_feat=embedding,
            level_embed=embedding,
        ),
        norm_decay_mult=0.0,
    ),
)
param_scheduler = [dict(type='PolyLR', eta_min=0, power=0.9, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
crop_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(
        type='mmseg.RandomChoiceResize',
        scales=[int(102.4 * step) for step in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=4096,
    ),
    dict(type='mmseg.RandomCrop', crop_size='$crop_size', cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
