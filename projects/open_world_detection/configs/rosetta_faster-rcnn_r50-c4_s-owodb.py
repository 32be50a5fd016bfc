_base_ = [
    '_base_/owod.py',
    '_base_/s_owodb.py',
    '../../incremental_detection/configs/_base_/rosetta.py',
]
model = _base_.rosetta_model
incremental = dict(steps=_base_.steps)
