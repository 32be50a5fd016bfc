_base_ = ['_base_/shapes.py', '_base_/methods/plain.py']

from mmood.recipe import bake

bake(globals())
