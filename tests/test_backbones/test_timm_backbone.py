"""TimmBackbone against timm's own ways to the same features."""

import builtins

import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.backbones import TimmBackbone
from mmood.backbones.timm_backbone import import_timm

pytestmark = pytest.mark.usefixtures('timm')
CNN, VIT = 'tf_efficientnet_lite0', 'vit_tiny_patch16_224'
PYRAMIDS = {
    CNN: {},
    'convnext_atto': dict(depths=(1, 1, 1, 1), dims=(8, 12, 16, 20)),
    'swin_tiny_patch4_window7_224': dict(
        embed_dim=12, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2)
    ),
}
SMALL_VIT = dict(embed_dim=24, depth=3, num_heads=2, img_size=32, patch_size=8)


def vit(name=VIT, **options):
    return TimmBackbone(name, **SMALL_VIT, **options).eval()


@pytest.mark.parametrize('name', PYRAMIDS)
def test_levels_are_those_of_features_only(timm, name):
    options = PYRAMIDS[name]
    backbone = TimmBackbone(name, **options).eval()
    reference = timm.create_model(name, features_only=True, **options).eval()
    names, values = reference.state_dict(), backbone.model.state_dict()
    reference.load_state_dict(dict(zip(names, values.values())))
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        ours, theirs = backbone(images), reference(images)
    if 'swin' in name:
        theirs = [m.permute(0, 3, 1, 2) for m in theirs]  # of (B, H, W, C)
    for found, expected, channels, stride in zip(
        ours, theirs, backbone.out_channels, backbone.strides
    ):
        assert found.shape == (2, channels, 224 // stride, 224 // stride)
        assert_near(found, expected)


@pytest.mark.parametrize('name', PYRAMIDS)
def test_images_of_any_size_and_all_levels(name):
    backbone = TimmBackbone(name, **PYRAMIDS[name]).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 96))
    assert [m.shape[1] for m in maps] == list(backbone.out_channels)
    assert [64 // m.shape[2] for m in maps] == list(backbone.strides)
    assert [96 // m.shape[3] for m in maps] == list(backbone.strides)


def test_layers_of_a_vit_are_timms_intermediate_layers():
    backbone = vit(out_indices=(0, -1))
    images = torch.randn(2, 3, 24, 40)
    with torch.no_grad():
        maps = backbone(images)
        expected = backbone.model.get_intermediate_layers(
            images, n=[0, 2], reshape=True, norm=True
        )
    assert maps[0].shape == (2, 24, 3, 5)
    for found, layer in zip(maps, expected):
        assert_near(found, layer)


def test_the_position_embedding_is_resized_to_the_image():
    backbone = vit(pos_embed='learn', class_token=False, global_pool='avg')
    nn.init.zeros_(backbone.model.patch_embed.proj.weight)
    nn.init.zeros_(backbone.model.patch_embed.proj.bias)
    ramp = torch.linspace(0, 1, 4).repeat_interleave(4)  # down the rows
    with torch.no_grad():
        backbone.model.pos_embed.copy_(ramp[None, :, None].expand(1, 16, 24))
    got = []
    backbone.model.blocks[0].register_forward_pre_hook(
        lambda _, args: got.append(args[0])
    )
    backbone(torch.zeros(1, 3, 64, 64))
    rows = got[0].reshape(8, 8, 24)
    assert_near(rows, rows[:, :1, :1].expand(8, 8, 24))
    assert (rows[1:, 0, 0] >= rows[:-1, 0, 0] - 0.05).all()
    assert rows[-1, 0, 0] - rows[0, 0, 0] > 0.9


def trained(module):
    return {n for n, p in module.named_parameters() if p.requires_grad}


def statistics(module):
    """Whose batch statistics are kept."""
    return {
        name
        for name, m in module.named_modules()
        if isinstance(m, nn.BatchNorm2d) and not m.training
    }


def test_a_frozen_backbone_stays_as_it_is():
    backbone = TimmBackbone(CNN, frozen=True).train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    assert not backbone(torch.randn(2, 3, 32, 32))[-1].requires_grad
    assert trained(backbone) == set()
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize('stages', [0, 1, 3, 5])
def test_the_first_stages_are_frozen(stages):
    backbone = TimmBackbone(CNN, frozen_stages=stages).train()
    ends = [0, 1, 2, 3, 5, 7]  # stages -> how many of timm's blocks
    blocks = {f'model.blocks.{i}' for i in range(ends[stages])}
    frozen = {n for n, _ in backbone.named_parameters()} - trained(backbone)
    assert {'.'.join(n.split('.')[:3]) for n in frozen if 'blocks' in n} == (
        blocks
    )
    assert ('model.conv_stem.weight' in frozen) == (stages > 0)
    kept = {'.'.join(n.split('.')[:3]) for n in statistics(backbone)}
    assert kept == (blocks | {'model.bn1'} if stages else set())


def test_frozen_layers_of_a_vit_take_what_is_in_front_along():
    left = trained(vit(frozen_stages=2))
    assert {n.split('.')[1] for n in left} == {'blocks', 'norm'}
    assert all(n.startswith(('model.blocks.2', 'model.norm')) for n in left)


def test_norm_eval_keeps_the_statistics_and_trains_the_rest():
    backbone = TimmBackbone(CNN, norm_eval=True).train()
    norms = {
        n for n, m in backbone.named_modules() if isinstance(m, nn.BatchNorm2d)
    }
    assert statistics(backbone) == norms
    assert len(trained(backbone)) == len(list(backbone.parameters()))


def test_layers_behind_the_last_output_are_not_built():
    assert len(vit(out_indices=(1,)).model.blocks) == 2
    backbone = TimmBackbone(CNN, out_indices=(2,))
    loss = backbone(torch.randn(1, 3, 32, 32))[0].sum()
    loss.backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize('rename', ['{}', 'other.{}'])
def test_weights_of_a_file_are_read_when_a_training_starts(
    timm, tmp_path, rename
):
    source = timm.create_model(CNN)
    state = {rename.format(k): v for k, v in source.state_dict().items()}
    torch.save(state, tmp_path / 'a.pth')
    backbone = TimmBackbone(CNN, tmp_path / 'a.pth', out_indices=(1, 3))
    drawn = backbone.model.conv_stem.weight.clone()
    assert not torch.equal(drawn, source.conv_stem.weight)
    backbone.init_weights()
    for name, value in backbone.model.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        ('tf_efficientnet_lite1', 'not fit: .*no place for .blocks'),  # deeper
        ('tf_efficientnet_lite2', 'not fit: .*another architecture'),  # wider
    ],
)
def test_weights_of_another_network_are_refused(timm, tmp_path, name, match):
    torch.save(timm.create_model(name).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=match):
        TimmBackbone(CNN, tmp_path / 'a.pth').init_weights()


def test_pretrained_asks_timm_and_nothing_else_does(timm, monkeypatch):
    asked, create = [], timm.create_model

    def record(name, pretrained, **options):
        asked.append(pretrained)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, 'create_model', record)
    TimmBackbone(CNN).init_weights()
    backbone = TimmBackbone(CNN, pretrained=True)
    assert not any(asked)
    backbone.init_weights()
    assert asked[-1]


def test_weights_that_timm_drew_are_left_alone():
    backbone = vit()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize('package', ['mmdet', 'mmseg'])
def test_detectors_and_segmentors_find_it_by_its_name(package):
    registry = pytest.importorskip(f'{package}.registry')
    config = dict(type='mmood.TimmBackbone', name=CNN, out_indices=(1, 2))
    assert registry.MODELS.build(config).strides == (4, 8)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(weights='a.pth', pretrained=True), 'give one of weights'),
        (dict(frozen_stages=6), r'frozen_stages must be in 0 \.\.\. 5.*got 6'),
        (dict(frozen_stages=-1), 'got -1'),
    ],
)
def test_contradictions_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        TimmBackbone(CNN, **options)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match='no_such_option'):
        TimmBackbone(CNN, no_such_option=1)


@pytest.mark.parametrize(
    ('error', 'match'),
    [
        (ModuleNotFoundError(name='timm'), r"'timm' is missing: pip install"),
        (ModuleNotFoundError(name='torchvision'), "'torchvision' is missing"),
        (
            RuntimeError('operator torchvision::nms does not exist'),
            'torchvision is not built for torch .*the same index',
        ),
    ],
)
def test_without_timm_the_error_says_what_to_install(
    monkeypatch, error, match
):
    found = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == 'timm':
            raise error
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', fail)
    with pytest.raises(ImportError, match=match):
        import_timm()
