_base_ = '_base_/shapes.py'
