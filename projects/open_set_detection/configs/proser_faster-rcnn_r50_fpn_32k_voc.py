_base_ = ['_base_/voc.py', '_base_/32k.py', '_base_/methods/proser.py']
num_known = 20
model = dict(
    roi_head=dict(
        _base_.proser,
        bbox_head=dict(_base_.proser.bbox_head, num_classes=num_known + 1),
    )
)
