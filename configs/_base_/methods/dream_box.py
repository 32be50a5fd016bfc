# Dream-Box (CVPRW 2025). Set ood.painted.data_root to what
# tools/dream_box/generate.py wrote; indices=1000 in it takes 1000 images.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['dreambox', 'energy', 'msp'],
    outliers=dict(type='mmood.AnnotatedOutliers'),
    losses=[
        # kind is focal or bce.
        dict(type='mmood.EnergyOODLoss', kind='focal', loss_weight=10.0)
    ],
    # What painted objects are to the RPN: object, ignore or background.
    rpn_head=dict(type='mmood.OODRPNHead', ood='object'),
    painted=dict(
        type='mmood.OODFlagCocoDataset',
        ann_file='annotations.json',
        data_prefix=dict(img=''),
        filter_cfg=dict(filter_empty_gt=True),
        indices=None,
    ),
    painted_share=None,  # all images of both sets in an epoch
    packer=dict(type='mmood.PackOODInputs'),
)
