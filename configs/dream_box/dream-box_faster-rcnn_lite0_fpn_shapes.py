_base_ = [
    '../_base_/faster-rcnn_lite0_fpn_shapes.py',
    '../_base_/methods/dream_box.py',
]
warmup = '1/20'  # as long as without painted images
ood = dict(painted=dict(data_root='data/shapes_dream/'), painted_share=0.25)

from mmood.recipe import bake

bake(globals())
