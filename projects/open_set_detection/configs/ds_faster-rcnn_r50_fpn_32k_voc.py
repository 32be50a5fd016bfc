_base_ = ['_base_/voc.py', '_base_/32k.py', '_base_/methods/ds.py']
model = dict(roi_head=_base_.ds)
