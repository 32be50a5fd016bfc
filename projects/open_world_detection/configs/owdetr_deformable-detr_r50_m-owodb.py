_base_ = ['_base_/owdetr_owod.py', '_base_/m_owodb.py']
incremental = dict(steps=_base_.steps, base=dict(max_epochs=50))
