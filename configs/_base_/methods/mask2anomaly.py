# Mask2Anomaly's outlier exposure (ICCV 2023): the decode head learns. Needs
# load_from: a trained segmentor of masks; and outlier objects.
runner_type = 'mmood.OODRunner'
objects = dict(type='mmood.DrawnObjects')
paste = dict(type='mmood.PasteOutliers', source='$objects', prob=0.2)
pixel_loss = dict(type='mmood.Mask2AnomalyLoss')
ood = dict(
    scores=['mask2anomaly', 'rba', 'eam', 'max_logit'],
    pixel_losses=['$pixel_loss'],
    trains=['decode_head'],
    train_transforms=['$paste'],
)
