# RPL (ICCV 2023): a block beside the pooling of a segmentor that stays as it
# is. Needs load_from: the segmentor, trained; and outlier objects.
runner_type = 'mmood.OODRunner'
objects = dict(type='mmood.DrawnObjects')
paste = dict(type='mmood.PasteOutliers', source='$objects', prob=1.0)
block = dict(type='mmood.RPLLoss', source_channels=2048, target_channels=560)
ood = dict(
    scores=['rpl', 'energy', 'msp', 'max_logit', 'entropy'],
    pixel_losses=['$block'],
    trains=[],
    supervised=False,
    train_transforms=['$paste'],
)
