_base_ = ['_base_/voc.py', '_base_/methods/ore.py']

from mmood.recipe import bake

bake(globals())
