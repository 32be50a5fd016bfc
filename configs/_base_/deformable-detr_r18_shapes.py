# Deformable DETR with two scales, few layers and queries, for 96 px scenes.
_base_ = [
    'models/deformable-detr_r50.py',
    'datasets/detection.py',
    'datasets/shapes_boxes.py',
    'schedules/deformable_detr.py',
    'det_runtime.py',
]
train_pipeline = '$flip_pipeline'
train_dataloader = dict(
    batch_size=8, num_workers=1, sampler=dict(type='DefaultSampler')
)
val_dataloader = dict(batch_size=8, num_workers=1)
test_dataloader = dict(batch_size=8, num_workers=1)
optim_wrapper = dict(optimizer=dict(lr=4e-4), paramwise_cfg=None)
attention, ffn = dict(num_levels=2), dict(feedforward_channels=256)
model = dict(
    num_queries=50,
    num_feature_levels=2,
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
        num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)
    ),
    decoder=dict(
        num_layers=3, layer_cfg=dict(cross_attn_cfg=attention, ffn_cfg=ffn)
    ),
    test_cfg=dict(max_per_img=50),
)
