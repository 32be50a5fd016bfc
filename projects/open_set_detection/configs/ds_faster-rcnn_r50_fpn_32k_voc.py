_base_ = ['_base_/voc.py', '_base_/methods/ds.py']

from mmood.recipe import bake

bake(globals())
