"""FeatureProbe against keys that are computed from the weights by hand."""

from collections import OrderedDict

import pytest
import torch
from mmseg.models.backbones import MixVisionTransformer, VisionTransformer
from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from helpers import assert_near
from mmood.backbones import TimmBackbone
from mmood.seg.models import DistilledVisionTransformer, FeatureProbe
from mmood.seg.models.attention_keys import attention_keys
from seg_helpers import lively


def only(backbone):
    """Just enough of a segmentor to be probed."""
    return lively(nn.Sequential(OrderedDict(backbone=backbone)))


def vit(cls=VisionTransformer, **options):
    options = dict(num_heads=4, num_layers=3) | options
    return only(cls(img_size=(32, 40), patch_size=8, embed_dims=16, **options))


def mit():
    return only(
        MixVisionTransformer(
            embed_dims=8,
            num_stages=3,
            num_layers=(1, 2, 1),
            num_heads=(1, 2, 2),
            patch_sizes=(7, 3, 3),
            strides=(4, 2, 2),
            sr_ratios=(4, 2, 1),
            out_indices=(0, 1, 2),
        )
    )


def cnn():
    model = EncoderDecoder(
        backbone=dict(
            type='ResNetV1c', depth=18, base_channels=8, stem_channels=8
        ),
        decode_head=dict(
            type='FCNHead',
            in_channels=64,
            channels=6,
            num_convs=1,
            num_classes=3,
            norm_cfg=None,
        ),
        test_cfg=dict(mode='whole'),
    )
    return lively(model)


def probe(model, images, **kwargs):
    with FeatureProbe(**kwargs).record(model) as maps:
        model(images)
    assert len(maps) == 1
    assert not maps[0].requires_grad
    return maps[0]


def watch(module, model, images):
    """What a module gets and gives."""
    seen = []
    handle = module.register_forward_hook(
        lambda _, args, output: seen.append((args, output))
    )
    with torch.no_grad():
        model(images)
    handle.remove()
    return seen[0]


def by_hand(attention, tokens, size):
    """``W_k x + b_k`` of tokens (B, h w, C) in float64."""
    width = attention.embed_dim
    weight = attention.in_proj_weight[width : 2 * width].double()
    bias = attention.in_proj_bias[width : 2 * width].double()
    keys = tokens.double() @ weight.T + bias
    return keys.unflatten(1, size).permute(0, 3, 1, 2)


def check(found, expected):
    assert found.shape == expected.shape
    torch.testing.assert_close(
        found.double(), expected.detach(), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize('size', [(32, 40), (48, 24), (36, 44), (7, 3)])
@pytest.mark.parametrize('layer', [0, 1, 2, -1, -3])
@pytest.mark.parametrize('with_cls_token', [True, False])
def test_keys_of_a_vision_transformer(layer, with_cls_token, size):
    """Sizes that the patch does not divide are padded by the backbone."""
    model = vit(with_cls_token=with_cls_token)
    images = torch.randn(2, 3, *size)
    block = model.backbone.layers[layer]
    (x,), _ = watch(block, model, images)
    tokens = block.norm1(x)[:, int(with_cls_token) :]
    grid = (-(-size[0] // 8), -(-size[1] // 8))
    expected = by_hand(block.attn.attn, tokens, grid)
    check(probe(model, images, keys=layer), expected)


def test_both_tokens_of_the_distilled_transformer_are_dropped():
    model = vit(DistilledVisionTransformer)
    images = torch.randn(2, 3, 32, 40)
    block = model.backbone.layers[-1]
    (x,), _ = watch(block, model, images)
    expected = by_hand(block.attn.attn, block.norm1(x)[:, 2:], (4, 5))
    check(probe(model, images, keys=-1), expected)


@pytest.mark.parametrize('size', [(64, 64), (50, 70)])
@pytest.mark.parametrize(
    ('layer', 'stage', 'number'),
    [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 2, 0), (-1, 2, 0), (-4, 0, 0)],
)
def test_keys_of_a_mix_vision_transformer(layer, stage, number, size):
    """Stages 0 and 1 shrink the keys' map by 4 and by 2."""
    model = mit()
    images = torch.randn(2, 3, *size)
    block = model.backbone.layers[stage][1][number]
    (x, (height, width)), _ = watch(block, model, images)
    tokens = block.norm1(x)
    if stage < 2:
        lines = tokens.transpose(1, 2).unflatten(2, (height, width))
        small = block.attn.sr(lines)
        height, width = small.shape[-2:]
        tokens = block.attn.norm(small.flatten(2).transpose(1, 2))
    expected = by_hand(block.attn.attn, tokens, (height, width))
    check(probe(model, images, keys=layer), expected)


@pytest.mark.parametrize('layer', [0, 2])
def test_the_keys_explain_the_attention(layer):
    """With queries by hand they give torch's own attention weights."""
    model = vit(num_heads=1, with_cls_token=False)
    images = torch.randn(2, 3, 32, 40)
    attention = model.backbone.layers[layer].attn.attn
    seen = {}

    def look(_, args, kwargs, output):
        seen.update(query=kwargs['query'], weights=output[1])

    handle = attention.register_forward_hook(look, with_kwargs=True)
    keys = probe(model, images, keys=layer).flatten(2)  # (B, C, L)
    handle.remove()
    weight, bias = attention.in_proj_weight[:16], attention.in_proj_bias[:16]
    query = seen['query'].transpose(0, 1) @ weight.T + bias
    expected = (query @ keys / 4).softmax(-1)
    torch.testing.assert_close(seen['weights'], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ('name', 'index', 'number'),
    [
        ('backbone.layer4', -1, 3),
        ('backbone.layer2', 0, 1),
        ('backbone', -1, 3),
        ('backbone', 1, 1),
        ('backbone', -4, 0),
    ],
)
def test_a_layer_of_a_convolutional_backbone(name, index, number):
    model = cnn()
    images = torch.randn(2, 3, 33, 47)
    with torch.no_grad():
        expected = model.backbone(images)[number]
    found = probe(model, images, module=name, index=index)
    assert_near(found, expected)


def test_a_feature_of_the_decode_head():
    model = cnn()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        inside = model.decode_head.convs(model.backbone(images)[3])
    found = probe(model, images, module='decode_head.convs.0')
    assert_near(found, inside)


def test_a_map_that_comes_with_its_class_token():
    model = vit(output_cls_token=True)
    images = torch.randn(2, 3, 32, 40)
    with torch.no_grad():
        expected = model(images)[-1][0]
    assert_near(probe(model, images, module='backbone'), expected)


def hooks(model):
    kinds = ('_forward_hooks', '_forward_pre_hooks')
    return sum(len(getattr(m, k)) for m in model.modules() for k in kinds)


@pytest.mark.parametrize('mode', [True, False])
@pytest.mark.parametrize('make', [vit, mit])
@pytest.mark.parametrize('options', [dict(keys=0), dict(module='backbone')])
def test_outputs_do_not_change_and_hooks_go(make, options, mode):
    model = make().train(mode)
    images = torch.randn(2, 3, 32, 40)
    expected, before = model(images), hooks(model)
    with FeatureProbe(**options).record(model) as maps:
        found = model(images)
        assert hooks(model) > before
    assert hooks(model) == before
    for mine, other in zip(found, expected):
        assert_near(mine, other)
    assert found[-1].requires_grad  # the segmentor itself can be trained
    model(images)
    assert len(maps) == 1


def test_hooks_go_after_an_error():
    model = vit()
    before = hooks(model)
    with pytest.raises(KeyError), FeatureProbe(-1).record(model):
        raise KeyError
    assert hooks(model) == before
    wrong = FeatureProbe(module='backbone.layers.0')
    with pytest.raises(ValueError, match='maps'), wrong.record(model):
        model(torch.randn(1, 3, 8, 8))
    assert hooks(model) == before


def test_probes_within_probes():
    model = vit()
    first, last = FeatureProbe(keys=0), FeatureProbe(keys=-1)
    a, b = torch.randn(1, 3, 32, 40), torch.randn(1, 3, 16, 16)
    with first.record(model) as outer:
        model(a)
        with last.record(model) as inner, first.record(model) as again:
            model(b)
        model(b)
    assert [len(maps) for maps in (outer, inner, again)] == [3, 1, 1]
    assert_near(outer[0], probe(model, a, keys=0))
    assert_near(outer[1], again[0])
    assert_near(outer[1], outer[2])
    assert_near(inner[0], probe(model, b, keys=-1))


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('width', [6, 8])
def test_keys_of_an_attention_with_its_own_key_weights(width, bias):
    """Another width of the keys has weights of its own in torch."""
    attention = nn.MultiheadAttention(8, 2, bias=bias, kdim=width, vdim=width)
    lively(attention)
    tokens = torch.randn(2, 7, width)
    found = attention_keys(attention, tokens, (2, 3))
    weight = attention.k_proj_weight
    if weight is None:
        weight = attention.in_proj_weight[8:16]
    expected = tokens[:, 1:] @ weight.T
    if bias:
        expected = expected + attention.in_proj_bias[8:16]
    expected = expected.transpose(1, 2).reshape(2, 8, 2, 3)
    check(found, expected.double())


def test_keys_of_a_vit_of_timm(timm):
    small = dict(embed_dim=16, depth=2, num_heads=2, img_size=32, patch_size=8)
    backbone = TimmBackbone('deit_tiny_distilled_patch16_224', **small)
    model = only(backbone).eval()
    images, tokens = torch.randn(2, 3, 24, 40), []
    attention = backbone.model.blocks[0].attn
    attention.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    found = probe(model, images, keys=-2)
    weight, bias = (p[16:32] for p in attention.qkv.parameters())
    expected = (tokens[0][:, 2:] @ weight.T + bias).mT.reshape(2, 16, 3, 5)
    assert_near(found, expected)
    assert FeatureProbe(keys=-2).width(model) == 16


def test_a_backbone_of_timm_without_keys_is_refused(timm):
    model = only(TimmBackbone('tf_efficientnet_lite0'))
    with pytest.raises(ValueError, match="lite0' has no attention over all"):
        FeatureProbe(keys=-1).width(model)
    with pytest.raises(ValueError, match='probe.keys 12 is out of range'):
        FeatureProbe(keys=12).width(only(TimmBackbone('vit_tiny_patch16_224')))
