# RbA's outlier exposure (ICCV 2023): the MLP of the masks and the classifier
# learn. Needs load_from: a trained segmentor of masks; and outlier objects.
runner_type = 'mmood.OODRunner'
objects = dict(type='mmood.DrawnObjects')
paste = dict(type='mmood.PasteOutliers', source='$objects', prob=0.2)
pixel_loss = dict(type='mmood.RbALoss')
ood = dict(
    scores=['rba', 'mask2anomaly', 'eam', 'max_logit'],
    pixel_losses=['$pixel_loss'],
    trains=['decode_head.cls_embed', 'decode_head.mask_embed'],
    train_transforms=['$paste'],
)
