_base_ = ['_base_/shapes.py', '_base_/methods/opendet.py']
num_known = 8
top_k = 12  # 3 for two images of a batch, as published
start = 150  # about an epoch
model = dict(
    roi_head=dict(
        unknown_class=True,
        open_set_losses=dict(
            contrastive=_base_.contrastive,
            unknown=dict(_base_.unknown_probability, top_k=top_k, start=start),
        ),
        bbox_head=dict(_base_.cosine_head, num_classes=num_known + 1),
    )
)
