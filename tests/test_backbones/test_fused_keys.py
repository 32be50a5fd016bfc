"""Keys of timm's attention against its own fused layers."""

import pytest
import torch

from helpers import assert_near
from mmood.backbones import TimmBackbone
from mmood.backbones.fused_keys import fused_keys

SMALL = dict(embed_dim=24, depth=3, num_heads=2, img_size=32, patch_size=8)
VITS = {
    'vit_tiny_patch16_224': {},
    'deit_tiny_distilled_patch16_224': {},  # two tokens in front
    'vit_small_patch14_reg4_dinov2': {},  # a class and four registers
    'eva02_tiny_patch14_224': {},  # k_proj without bias, rotated
    'beit_base_patch16_224': {},  # biases beside qkv
}
pytestmark = pytest.mark.usefixtures('timm')


def recorded_keys(backbone, number, images):
    keys = []
    handles = backbone.hook_keys(number, keys.append)
    with torch.no_grad():
        backbone(images)
    for handle in handles:
        handle.remove()
    return keys


def keys_inside(backbone, number, images):
    """What timm multiplies with the queries, (B, heads, L, C / heads)."""
    block, seen = backbone.model.blocks[number], []
    attention = block.attn
    attention.fused_attn = False
    layer = attention.k_norm
    handle = layer.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        backbone(images)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize('number', [0, -1])
@pytest.mark.parametrize('name', [n for n in VITS if 'beit' not in n])
@pytest.mark.parametrize('qk_norm', [False, True])
def test_keys_are_those_that_timm_compares(name, number, qk_norm):
    options = dict(qk_norm=True) if qk_norm else {}
    backbone = TimmBackbone(name, **SMALL, **options).eval()
    images = torch.randn(2, 3, 32, 32)
    (found,) = recorded_keys(backbone, number, images)
    expected = keys_inside(backbone, number, images)[:, :, -16:]
    expected = expected.permute(0, 1, 3, 2).reshape(2, 24, 4, 4)
    assert_near(found, expected)
    assert backbone.key_widths() == [24] * 3


def test_biases_beside_the_fused_layer():
    backbone = TimmBackbone('beit_base_patch16_224', **SMALL).eval()
    attention = backbone.model.blocks[1].attn
    images, tokens = torch.randn(2, 3, 32, 32), []
    attention.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    (found,) = recorded_keys(backbone, 1, images)
    weight = attention.qkv.weight[24:48]
    expected = (tokens[0][:, 1:] @ weight.T + attention.k_bias).mT
    assert_near(found, expected.reshape(2, 24, 4, 4))


def test_the_map_has_the_images_shape():
    backbone = TimmBackbone('vit_tiny_patch16_224', **SMALL).eval()
    (found,) = recorded_keys(backbone, -1, torch.randn(1, 3, 24, 40))
    assert found.shape == (1, 24, 3, 5)


def test_windows_and_convolutions_have_no_keys():
    swin = dict(embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    for name, options in [
        ('swin_tiny_patch4_window7_224', swin),
        ('tf_efficientnet_lite0', {}),
    ]:
        assert TimmBackbone(name, **options).key_widths() == []


def test_too_few_tokens_are_refused():
    backbone = TimmBackbone('vit_tiny_patch16_224', **SMALL)
    attention = backbone.model.blocks[0].attn
    with pytest.raises(ValueError, match='5 tokens cannot fill .* 2 x 3'):
        fused_keys(attention, torch.zeros(1, 5, 24), (2, 3))
