_base_ = [
    '../_base_/dino-4scale_r50_36k_voc.py',
    '../_base_/datasets/fmiyc_voc.py',
    '../_base_/methods/posthoc_dense.py',
]
test_sets = '$fmiyc_sets'
test_evaluator = dict(open_set=True)

from mmood.recipe import bake

bake(globals())
