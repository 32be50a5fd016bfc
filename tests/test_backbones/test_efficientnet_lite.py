"""EfficientNetLite against timm's, and a convolution padded by hand."""

import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.backbones import EfficientNetLite, TimmBackbone
from mmood.backbones.efficientnet_lite import _ConvNorm

CHANNELS = (16, 24, 40, 112, 320)


def saved(timm, tmp_path):
    model = timm.create_model('tf_efficientnet_lite0')
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    return tmp_path / 'a.pth'


@pytest.mark.parametrize('size', [(64, 96), (45, 77)])
def test_maps_of_the_same_weights_are_timms(timm, tmp_path, size):
    weights = saved(timm, tmp_path)
    ours = EfficientNetLite(weights)
    theirs = TimmBackbone('tf_efficientnet_lite0', weights)
    images = torch.randn(2, 3, *size)
    maps = []
    for backbone in (ours, theirs):
        backbone.init_weights()
        with torch.no_grad():
            maps.append(backbone.eval()(images))
    for found, expected in zip(*maps):
        assert_near(found, expected)
    assert ours.out_channels == theirs.out_channels == CHANNELS
    assert ours.strides == theirs.strides == (2, 4, 8, 16, 32)


@pytest.mark.parametrize(('side', 'pads'), [(6, (0, 1)), (7, (1, 1))])
def test_an_odd_pixel_is_padded_last(side, pads):
    layer = _ConvNorm(1, 1, 3, stride=2, activate=False).eval()
    image = torch.randn(1, 1, side, side)
    padded = nn.functional.pad(image, pads * 2)
    kernel = layer.conv.weight[0, 0]
    rows = range(0, padded.shape[-1] - 2, 2)
    expected = [
        [(padded[0, 0, i : i + 3, j : j + 3] * kernel).sum() for j in rows]
        for i in rows
    ]
    with torch.no_grad():
        found = layer(image)[0, 0] * (1 + 1e-3) ** 0.5
    assert_near(found, torch.tensor(expected))


def test_only_what_is_asked_for_is_built_and_trained():
    backbone = EfficientNetLite(out_indices=(1, 2))
    maps = backbone(torch.randn(2, 3, 32, 32))
    assert [m.shape[1] for m in maps] == [24, 40]
    sum(m.sum() for m in maps).backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize(
    ('stages', 'groups'), [(0, 0), (1, 1), (4, 5), (5, 7)]
)
def test_frozen_stages(stages, groups):
    backbone = EfficientNetLite(frozen_stages=stages).train()
    for parts, is_fixed in (
        ([backbone.stem], stages > 0),
        (backbone.groups[:groups], True),
        (backbone.groups[groups:], False),
    ):
        for part in parts:
            for module in part.modules():
                assert module.training != is_fixed
            for parameter in part.parameters():
                assert parameter.requires_grad != is_fixed


def test_norm_eval_keeps_the_statistics_and_trains_the_rest():
    backbone = EfficientNetLite(norm_eval=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms)
    assert backbone.groups[3].training
    assert all(p.requires_grad for p in backbone.parameters())


def test_weights_of_another_network_are_refused(timm, tmp_path):
    model = timm.create_model('mobilenetv2_100')
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='under other names'):
        EfficientNetLite(tmp_path / 'a.pth').init_weights()


@pytest.mark.parametrize('levels', [(), (5,), (-1, 2)])
def test_levels_that_there_are_not_are_refused(levels):
    with pytest.raises(ValueError, match=r'out_indices must be of 0 \.\.\. 4'):
        EfficientNetLite(out_indices=levels)


@pytest.mark.parametrize('stages', [-1, 6])
def test_stages_that_there_are_not_are_refused(stages):
    with pytest.raises(ValueError, match=f'got {stages}'):
        EfficientNetLite(frozen_stages=stages)


@pytest.mark.parametrize('package', ['mmdet', 'mmseg'])
def test_detectors_and_segmentors_find_it_by_its_name(package):
    registry = pytest.importorskip(f'{package}.registry')
    config = dict(type='mmood.EfficientNetLite', out_indices=(1, 2))
    assert registry.MODELS.build(config).strides == (4, 8)
