_base_ = ['_base_/owod.py', '_base_/s_owodb.py', '_base_/ore_owod.py']
incremental = dict(steps=_base_.steps)
