# Needs load_from: a checkpoint of posthoc/segmenter_vit_1500_shapes.py.
_base_ = '../posthoc/segmenter_vit_1500_shapes.py'
max_iters = 1000
model = dict(
    type='mmood.OODEncoderDecoder',
    probe=dict(keys=-1),
    ood_head=dict(
        type='mmood.DOoDHead',
        channels=128,
        batch_size=2048,
        denoiser=dict(
            type='mmood.DenoisingMLP', num_blocks=3, num_middle_blocks=1
        ),
    ),
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        _delete_=True,
        type='mmood.FeatureDataset',
        dataset={{_base_.plain_set}},
        vectors=128,
    ),
)
val_dataloader = dict(dataset={{_base_.id_set}})
val_evaluator = dict(_delete_=True, type='mmood.OODSegMetric')
train_cfg = dict(max_iters=max_iters, val_begin=10**9)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.0)
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]
custom_hooks = {{_base_.dood_hooks}}
