_base_ = ['../_base_/fcn_r18_shapes.py', '../_base_/methods/posthoc_seg.py']
max_iters = 2000

from mmood.recipe import bake

bake(globals())
