# Dream-Box (CVPRW 2025).
dream_box = dict(
    scores=['dreambox', 'energy', 'msp'],
    outliers='annotated',
    loss_uncertainty=dict(
        type='mmood.EnergyOODLoss',
        kind='focal',  # or bce
        loss_weight=10.0,
    ),
)
# What painted objects are to the RPN: object, ignore or background.
dream_box_rpn = dict(type='mmood.OODRPNHead', ood='object')
# Written by tools/dream_box/generate.py; indices=1000 takes 1000 images.
painted_set = dict(
    type='mmood.OODFlagCocoDataset',
    ann_file='annotations.json',
    data_prefix=dict(img=''),
    filter_cfg=dict(filter_empty_gt=True),
    indices=None,
)
# painted_share=None: all images of both sets in an epoch.
mixed_sampler = dict(
    _delete_=True, type='mmood.MixedSampler', painted_share=None
)
packer = dict(type='mmood.PackOODInputs')
