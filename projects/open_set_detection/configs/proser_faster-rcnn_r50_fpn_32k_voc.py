_base_ = ['_base_/voc.py', '_base_/methods/proser.py']

from mmood.recipe import bake

bake(globals())
