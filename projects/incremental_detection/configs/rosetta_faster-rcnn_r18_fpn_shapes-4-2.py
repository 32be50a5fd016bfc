_base_ = ['_base_/shapes.py', '_base_/shapes_4-2.py', '_base_/rosetta.py']
model = _base_.rosetta_model
