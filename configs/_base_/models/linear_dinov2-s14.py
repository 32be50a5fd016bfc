# The same with DINOv2's weights, which timm fetches: pip install
# 'mmood[timm]'.
_base_ = 'linear_vit-s14.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmood.TimmBackbone',
        name='vit_small_patch14_dinov2.lvd142m',
        pretrained=True,
    )
)
