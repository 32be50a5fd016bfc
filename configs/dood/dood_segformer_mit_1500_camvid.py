# Needs load_from: a checkpoint of posthoc/segformer_mit_1800_camvid.py.
_base_ = '../posthoc/segformer_mit_1800_camvid.py'
max_iters = 1500
model = dict(
    type='mmood.OODEncoderDecoder',
    probe=dict(keys=-1),
    ood_head=dict(
        type='mmood.DOoDHead',
        channels=160,
        batch_size=2048,
        denoiser=dict(
            type='mmood.DenoisingMLP', num_blocks=3, num_middle_blocks=1
        ),
    ),
)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='mmood.FeatureDataset',
        dataset={{_base_.plain_set}},
        vectors=256,
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
