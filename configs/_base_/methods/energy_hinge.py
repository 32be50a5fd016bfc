# Energy-bounded learning (Liu et al., NeurIPS 2020) on pixels, for any
# segmentor of pixels. Best with load_from: it, trained; and outlier objects.
runner_type = 'mmood.OODRunner'
objects = dict(type='mmood.DrawnObjects')
paste = dict(type='mmood.PasteOutliers', source='$objects', prob=1.0)
pixel_loss = dict(type='mmood.EnergyHingeLoss')
ood = dict(
    scores=['energy', 'msp', 'max_logit', 'entropy'],
    pixel_losses=['$pixel_loss'],
    train_transforms=['$paste'],
)
