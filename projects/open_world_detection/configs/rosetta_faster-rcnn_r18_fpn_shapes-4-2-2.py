_base_ = [
    '../../incremental_detection/configs/_base_/shapes.py',
    '_base_/shapes_4-2-2.py',
    '../../incremental_detection/configs/_base_/rosetta.py',
]
model = _base_.rosetta_model
