_base_ = ['_base_/shapes.py', '_base_/methods/opendet_dfdd.py']
top_k = 12  # 3 for two images of a batch, as published
unknown_start = 150  # about an epoch

from mmood.recipe import bake

bake(globals())
