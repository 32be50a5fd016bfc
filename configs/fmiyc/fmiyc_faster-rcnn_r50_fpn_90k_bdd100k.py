_base_ = [
    '../_base_/faster-rcnn_r50_fpn_90k_bdd100k.py',
    '../_base_/datasets/fmiyc_bdd100k.py',
    '../_base_/methods/fmiyc.py',
]
test_sets = '$fmiyc_sets'
test_evaluator = dict(open_set=True)

from mmood.recipe import bake

bake(globals())
