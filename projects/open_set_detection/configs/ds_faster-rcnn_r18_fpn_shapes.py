_base_ = ['_base_/shapes.py', '_base_/methods/ds.py']
model = dict(roi_head=_base_.ds)
