_base_ = '_base_/owdetr_voc.py'
incremental = dict(steps=[_base_.order[:19], _base_.order[19:]])
