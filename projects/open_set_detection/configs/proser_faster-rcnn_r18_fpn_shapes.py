_base_ = ['_base_/shapes.py', '_base_/methods/proser.py']

from mmood.recipe import bake

bake(globals())
