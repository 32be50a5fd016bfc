_base_ = ['_base_/owdetr_owod.py', '_base_/s_owodb.py']
incremental = dict(steps=_base_.steps)
