_base_ = [
    '../_base_/faster-rcnn_r50_fpn_18k_voc.py',
    '../_base_/datasets/fmiyc_voc.py',
    '../_base_/methods/fmiyc.py',
]
test_sets = '$fmiyc_sets'
test_evaluator = dict(open_set=True)

from mmood.recipe import bake

bake(globals())
