_base_ = ['_base_/voc.py', '_base_/methods/plain.py']
score_thr = 0.1  # instead of 0.05
model = dict(test_cfg=dict(rcnn=dict(score_thr=score_thr)))

from mmood.recipe import bake

bake(globals())
