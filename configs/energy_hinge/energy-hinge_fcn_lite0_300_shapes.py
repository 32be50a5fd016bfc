# Needs load_from: a checkpoint of posthoc/fcn_lite0_1k_shapes.py.
_base_ = ['../_base_/fcn_lite0_shapes.py', '../_base_/methods/energy_hinge.py']
max_iters = 300
paste = dict(prob=0.5, area=(0.005, 0.05))
pixel_loss = dict(m_in=-8.0, m_out=-3.0)
model = dict(decode_head=dict(loss_decode=dict(class_weight=None)))
train_cfg = dict(val_begin=10**9)

from mmood.recipe import bake

bake(globals())
