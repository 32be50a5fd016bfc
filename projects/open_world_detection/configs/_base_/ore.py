# ORE (CVPR 2021): contrastive clustering, auto-labelled unknown objects,
# energy-based identification. The stored images are the runner's.
num_pseudo = 1  # unknown objects of an image
clustering = dict(
    type='mmood.ContrastiveClustering',
    size=20,
    margin=10.0,
    start=1000,
    interval=3000,
    momentum=0.99,
    loss_weight=0.1,
)
pseudo_head = 'mmood.PseudoUnknownBBoxHead'
# As published: energies of images in which unknown objects are annotated.
leak = False
leak_ann = '$train_ann'
custom_hooks = [
    dict(
        type='mmood.LabelledEnergiesHook',
        enabled='$leak',
        dataloader=dict(
            batch_size=1,
            num_workers=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='mmood.ClassStepCocoDataset',
                data_root='$data_root',
                ann_file='$leak_ann',
                data_prefix=dict(img='$train_images'),
                pipeline='$test_pipeline',
                test_mode=True,
                unknown='label',
                exemplars=None,
            ),
        ),
    )
]
ood = dict(
    losses=[
        '$clustering',
        dict(type='mmood.EnergyWeibulls', size=1000, temperature=1.5),
    ],
    head=dict(
        type='mmood.OpenSetRoIHead',
        scores=['ore'],
        unknown_class=True,
        rejects=True,
        reject_above=0.0,
        bbox_head=dict(
            type='$pseudo_head',
            num_pseudo='$num_pseudo',
            cls_predictor_cfg=dict(num_rest=2),
        ),
    ),
)
