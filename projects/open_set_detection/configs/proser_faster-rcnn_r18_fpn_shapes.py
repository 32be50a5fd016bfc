_base_ = ['_base_/shapes.py', '_base_/methods/proser.py']
num_known = 8
model = dict(
    roi_head=dict(
        _base_.proser,
        bbox_head=dict(_base_.proser.bbox_head, num_classes=num_known + 1),
    )
)
