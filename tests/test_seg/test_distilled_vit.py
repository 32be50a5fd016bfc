"""The distilled ViT against mmseg's, run by hand with one token more."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.models.backbones import VisionTransformer
from torch import nn

from mmood.registry import MODELS
from mmood.seg.models import DistilledVisionTransformer

OPTIONS = dict(
    img_size=(32, 48),
    patch_size=8,
    embed_dims=16,
    num_layers=3,
    num_heads=2,
    mlp_ratio=2,
    final_norm=True,
)


def small(**options):
    net = DistilledVisionTransformer(**{**OPTIONS, **options})
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.4)
    net.eval()  # mmseg's returns nothing
    return net


def by_hand(net, image, grid, pos_embed=None):
    """Tokens class, dist, patches through all layers; the patches' map."""
    pos_embed = net.pos_embed if pos_embed is None else pos_embed
    patches = net.patch_embed.projection(image).flatten(2).transpose(1, 2)
    tokens = [
        token.expand(len(image), -1, -1)
        for token in (net.cls_token, net.dist_token)
    ]
    x = torch.cat((*tokens, patches), 1) + pos_embed
    for layer in net.layers:
        h = layer.norm1(x).transpose(0, 1)
        x = x + layer.attn.attn(h, h, h)[0].transpose(0, 1)
        x = x + layer.ffn.layers(layer.norm2(x))
    x = net.norm1(x)
    out = x[:, 2:].transpose(1, 2).reshape(len(image), 16, *grid)
    return out, x[:, 0]


def test_is_the_plain_transformer_with_a_token_more():
    net, image = small(), torch.randn(2, 3, 32, 48)
    (out,) = net(image)
    expected, _ = by_hand(net, image, (4, 6))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ('size', 'grid'), [((40, 16), (5, 2)), ((48, 32), (6, 4))]
)
def test_positions_of_patches_follow_the_image(size, grid):
    """Also a grid with as many patches as the one of ``img_size``."""
    net, image = small(), torch.randn(2, 3, *size)
    (out,) = net(image)
    positions = net.pos_embed[:, 2:].reshape(1, 4, 6, 16).movedim(-1, 1)
    resized = F.interpolate(positions, size=grid, mode='bicubic')
    resized = resized.flatten(2).transpose(1, 2)
    pos_embed = torch.cat((net.pos_embed[:, :2], resized), 1)
    expected, _ = by_hand(net, image, grid, pos_embed)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_the_token_changes_what_comes_out():
    net, image = small(), torch.randn(1, 3, 32, 48)
    (before,) = net(image)
    with torch.no_grad():
        net.dist_token.copy_(torch.randn(16))
    (after,) = net(image)
    assert (after - before).abs().max() > 1e-3


def test_without_a_say_of_the_token_it_is_mmsegs():
    """No attention falls on it."""
    net = small(num_layers=1, qkv_bias=True)
    plain = VisionTransformer(**{**OPTIONS, 'num_layers': 1}, patch_bias=True)
    state = net.state_dict()
    state.pop('dist_token')
    positions = state['pos_embed']
    state['pos_embed'] = torch.cat((positions[:, :1], positions[:, 2:]), 1)
    plain.load_state_dict(state)
    layer = net.layers[0]

    def ignore_token(module, args, kwargs):
        length, batch, _ = kwargs['query'].shape
        mask = (torch.arange(length) == 1).expand(batch, -1)
        return args, {**kwargs, 'key_padding_mask': mask}

    layer.attn.attn.register_forward_pre_hook(ignore_token, with_kwargs=True)
    image = torch.randn(2, 3, 32, 48)
    plain.eval()
    (out,), (expected,) = net(image), plain(image)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_class_token_is_the_class_token():
    net, image = small(output_cls_token=True), torch.randn(2, 3, 32, 48)
    ((out, token),) = net(image)
    expected, expected_token = by_hand(net, image, (4, 6))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(token, expected_token, atol=1e-5, rtol=1e-5)


def test_names_and_shapes_of_the_released_backbone():
    shapes = {n: tuple(v.shape) for n, v in small().state_dict().items()}
    assert shapes['dist_token'] == shapes['cls_token'] == (1, 1, 16)
    assert shapes['pos_embed'] == (1, 26, 16)
    assert shapes['patch_embed.projection.bias'] == (16,)
    assert {'ln1.weight', 'layers.2.ln2.bias'} <= set(shapes)
    assert DistilledVisionTransformer.num_extra_tokens == 2


def test_gradient_reaches_token_and_positions():
    net = small()
    net.train()
    net(torch.randn(2, 3, 32, 48))[0].square().sum().backward()
    assert net.dist_token.grad.abs().sum() > 0
    assert (net.pos_embed.grad[0].abs().sum(1) > 0).all()


def test_pretrained_positions_of_another_size_are_resized(tmp_path):
    state = small(img_size=24).state_dict()
    torch.save(state, tmp_path / 'deit.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'deit.pth'))
    net = DistilledVisionTransformer(**OPTIONS, init_cfg=pretrained)
    net.init_weights()
    assert torch.equal(net.dist_token, state['dist_token'])
    assert torch.equal(net.pos_embed[:, :2], state['pos_embed'][:, :2])
    grid = state['pos_embed'][:, 2:].reshape(1, 3, 3, 16).movedim(-1, 1)
    resized = F.interpolate(grid, size=(4, 6), mode='bicubic')
    expected = resized.flatten(2).transpose(1, 2)
    torch.testing.assert_close(net.pos_embed[:, 2:].detach(), expected)


def test_frozen_positions_stay_frozen():
    net = small(frozen_exclude=['ln'])
    assert not net.pos_embed.requires_grad
    assert not net.dist_token.requires_grad
    assert net.norm1.weight.requires_grad


@pytest.mark.parametrize('out_indices', [(0, 2), (2, 1), 1, [-1]])
def test_refuses_outputs_before_the_last_layer(out_indices):
    with pytest.raises(ValueError, match=r'out_indices must be -1 or 2 .*got'):
        small(out_indices=out_indices)
    assert small(out_indices=(2,)).out_indices == (2,)


@pytest.mark.parametrize(
    ('name', 'value'), [('out_origin', True), ('with_cls_token', False)]
)
def test_refuses_what_the_token_does_not_allow(name, value):
    with pytest.raises(ValueError, match=rf'{name} .*got.* {value}'):
        small(**{name: value})


def test_is_found_by_configs():
    net = MODELS.build(
        dict(type='mmood.DistilledVisionTransformer', **OPTIONS)
    )
    assert isinstance(net, DistilledVisionTransformer)
