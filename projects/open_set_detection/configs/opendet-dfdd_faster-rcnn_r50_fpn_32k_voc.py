_base_ = [
    '_base_/voc.py',
    '_base_/32k.py',
    '_base_/methods/opendet.py',
    '../../../configs/_base_/methods/dfdd.py',
]
num_known = 20
top_k = 24  # 3 for two images of a batch, as published
model = dict(
    neck=[_base_.model.neck, _base_.dfdd_neck],
    roi_head=dict(
        unknown_class=True,
        open_set_losses=dict(
            contrastive=_base_.contrastive,
            unknown=dict(_base_.unknown_probability, top_k=top_k),
        ),
        # In the place of the uncertainty loss.
        loss_uncertainty=dict(type='mmood.BlurredClassifierLoss'),
        loss_consistency=_base_.dfdd.loss_consistency,
        bbox_head=dict(_base_.cosine_head, num_classes=num_known + 1),
    ),
)
optim_wrapper = _base_.dfdd_optim
