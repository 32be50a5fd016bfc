_base_ = [
    '../../incremental_detection/configs/_base_/voc.py',
    '_base_/voc_15-5.py',
    '../../incremental_detection/configs/_base_/rosetta.py',
]
model = _base_.rosetta_model
