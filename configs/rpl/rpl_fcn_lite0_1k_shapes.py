# Needs load_from: a checkpoint of posthoc/fcn_lite0_1k_shapes.py.
_base_ = ['../_base_/fcn_lite0_shapes.py', '../_base_/methods/rpl.py']
block = dict(
    source='decode_head.convs',
    target='decode_head.conv_seg',
    source_channels=176,
    target_channels='$width',
    channels=64,
    dilations=(2, 4, 6),
)
paste = dict(count=(1, 2), area=(0.005, 0.05))
train_cfg = dict(val_begin=10**9)
# With class weights mmseg's loss, which is left out, takes no ignored pixels.
model = dict(decode_head=dict(loss_decode=dict(class_weight=None)))

from mmood.recipe import bake

bake(globals())
