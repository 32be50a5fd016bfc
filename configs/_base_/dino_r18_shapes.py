# DINO with one scale, few layers and queries, for 96 px scenes.
_base_ = [
    'models/dino-4scale_r50.py',
    'datasets/detection.py',
    'datasets/shapes_boxes.py',
    'schedules/shapes.py',
    'det_runtime.py',
]
max_epochs = 30
train_pipeline = '$flip_pipeline'
train_dataloader = dict(
    batch_size=8, num_workers=1, sampler=dict(type='DefaultSampler')
)
val_dataloader = dict(batch_size=8, num_workers=1)
test_dataloader = dict(batch_size=8, num_workers=1)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=4e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1),
)
layer = dict(ffn_cfg=dict(feedforward_channels=256))
model = dict(
    num_queries=50,
    backbone=dict(
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        base_channels=32,
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[64, 128], num_outs=2),
    encoder=dict(
        num_layers=2, layer_cfg=dict(self_attn_cfg=dict(num_levels=2), **layer)
    ),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(cross_attn_cfg=dict(num_levels=2), **layer),
    ),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    test_cfg=dict(max_per_img=50),
)
