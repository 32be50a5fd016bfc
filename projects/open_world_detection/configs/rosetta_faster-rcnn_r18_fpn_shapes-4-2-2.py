_base_ = [
    '../../incremental_detection/configs/_base_/shapes.py',
    '_base_/shapes_4-2-2.py',
    '../../incremental_detection/configs/_base_/rosetta.py',
]
model = _base_.rosetta_model
# Six epochs from random weights are too short to learn under noise.
gate_noise = 0.0
