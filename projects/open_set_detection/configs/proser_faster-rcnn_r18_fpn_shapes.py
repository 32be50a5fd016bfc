_base_ = ['_base_/shapes.py', '_base_/methods/proser.py']
