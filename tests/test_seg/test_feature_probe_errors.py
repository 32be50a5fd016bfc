"""What FeatureProbe refuses, and in which words."""

import pytest
import torch
from torch import nn

from mmood.registry import MODELS
from mmood.seg.models import FeatureProbe
from mmood.seg.models.attention_keys import attention_keys
from seg_helpers import lively, tiny_segmentor


def vit(**options):
    model = lively(MODELS.build(tiny_segmentor(**options)))
    model.load_state_dict(model.state_dict())
    return model


def cnn(**options):
    backbone = dict(
        type='ResNetV1c', depth=18, base_channels=8, stem_channels=8
    )
    head = dict(tiny_segmentor()['decode_head'], in_channels=64, channels=64)
    return vit(backbone=backbone, decode_head=head, **options)


def refused(model, message):
    with pytest.raises(ValueError, match=message) as error:
        model.extract_features(torch.randn(2, 3, 32, 32))
    hooks = [
        hook
        for module in model.modules()
        for hook in (*module._forward_hooks, *module._forward_pre_hooks)
    ]
    assert not hooks
    return str(error.value)


@pytest.mark.parametrize(
    'options', [{}, dict(keys=0, module='backbone'), dict(index=3)]
)
def test_either_keys_or_a_module(options):
    with pytest.raises(ValueError, match='either keys.*or module'):
        FeatureProbe(**options)


@pytest.mark.parametrize('number', [2, -3])
def test_a_layer_that_is_not_there(number):
    message = f'keys {number} .* VisionTransformer has 2 attention layers'
    with pytest.raises(ValueError, match=message):
        vit(probe=dict(keys=number))


def test_no_attention_at_all():
    with pytest.raises(ValueError, match='ResNetV1c has no .*probe.module'):
        cnn(probe=dict(keys=-1))
    message = "Loss reads features, and ResNetV1c .*module='backbone.layer4'"
    with pytest.raises(ValueError, match=message):
        cnn()
    message = "the score 'knn' reads features, and ResNetV1c .*channels=2048"
    with pytest.raises(ValueError, match=message):
        cnn(losses=[], scores=['energy', 'knn'])


def test_a_fitted_score_wants_to_know_the_channels():
    options = dict(losses=[], scores=['knn', 'gram'])
    probe = dict(module='decode_head.conv_seg')
    message = "'knn' .* nothing says how many: set probe.channels .*conv_seg"
    with pytest.raises(ValueError, match=message):
        cnn(probe=probe, **options)
    model = cnn(probe=dict(probe, channels=4), **options)
    assert {s.channels for s in model.scores.fitted.values()} == {4}
    model = vit(**options)
    assert {s.channels for s in model.scores.fitted.values()} == {32}


@pytest.mark.parametrize('name', ['layer4', 'backbone.layer9', 'backbone.'])
def test_a_module_that_is_not_there(name):
    message = f"'{name}' is no module .* 'backbone', 'decode_head'"
    with pytest.raises(ValueError, match=message):
        cnn(probe=dict(module=name))


@pytest.mark.parametrize(
    ('name', 'index', 'message'),
    [
        ('backbone.layers.0', -1, r'got torch.Size\(\[2, 17, 32\]\)'),
        ('backbone.patch_embed', 0, r'got torch.Size\(\[2, 16, 32\]\)'),
        ('backbone.patch_embed', -1, 'got int'),
        ('backbone', 1, r'index 1 .* returns 1 '),
        ('backbone', -2, r'index -2 .* returns 1 '),
    ],
)
def test_an_output_that_is_no_map(name, index, message):
    model = vit(probe=dict(module=name, index=index))
    assert f"'{name}'" in refused(model, message)


@pytest.mark.parametrize('name', ['decode_head', 'auxiliary_head.conv_seg'])
def test_a_module_that_does_not_run(name):
    """mmseg calls ``decode_head.forward``, which runs no hook."""
    head = dict(tiny_segmentor()['decode_head'], in_index=0)
    model = vit(probe=dict(module=name), auxiliary_head=head)
    refused(model, f"'{name}' did not run")


def test_too_few_tokens():
    with pytest.raises(ValueError, match='5 tokens .* 2 x 3'):
        attention_keys(
            nn.MultiheadAttention(8, 2), torch.randn(1, 5, 8), (2, 3)
        )
