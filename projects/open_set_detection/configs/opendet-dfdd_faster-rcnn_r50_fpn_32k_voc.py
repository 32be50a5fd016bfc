_base_ = ['_base_/voc.py', '_base_/methods/opendet_dfdd.py']
top_k = 24  # 3 for two images of a batch, as published

from mmood.recipe import bake

bake(globals())
