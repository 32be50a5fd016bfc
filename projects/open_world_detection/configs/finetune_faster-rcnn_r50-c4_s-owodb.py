_base_ = ['_base_/owod.py', '_base_/s_owodb.py']
incremental = dict(steps=_base_.steps)
