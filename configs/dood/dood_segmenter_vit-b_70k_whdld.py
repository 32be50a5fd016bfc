# Needs load_from: this Segmenter trained on WHDLD.
_base_ = ['../_base_/segmenter_vit-b_whdld.py', '../_base_/methods/dood.py']
model = dict(pretrained=None)
train_dataloader = dict(batch_size=32)

from mmood.recipe import bake

bake(globals())
