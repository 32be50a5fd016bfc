_base_ = [
    '../_base_/dino-4scale_r50_90k_bdd100k.py',
    '../_base_/datasets/fmiyc_bdd100k.py',
    '../_base_/methods/posthoc_dense.py',
]
test_sets = '$fmiyc_sets'
test_evaluator = dict(open_set=True)

from mmood.recipe import bake

bake(globals())
