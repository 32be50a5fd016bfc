_base_ = '_base_/owdetr_voc.py'
incremental = dict(steps=[_base_.order[:10], _base_.order[10:]])
