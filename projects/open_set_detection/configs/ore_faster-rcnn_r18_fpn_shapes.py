_base_ = ['_base_/shapes.py', '_base_/methods/ore.py']
