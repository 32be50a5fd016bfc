"""A frozen backbone runs once for each picture, and never for another."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from mmood.backbones import FrozenBackbone
from mmood.registry import MODELS
from seg_helpers import lively

VIT = dict(
    type='mmseg.VisionTransformer',
    img_size=(32, 32),
    patch_size=8,
    embed_dims=16,
    num_layers=2,
    num_heads=2,
    out_indices=(0, 1),
    output_cls_token=True,
)
CNN = dict(
    type='mmdet.MobileNetV2',
    widen_factor=0.25,
    out_indices=(2, 4),
    norm_cfg=dict(type='BN'),
)


def frozen(backbone=CNN, seed=0, **options):
    """With random weights that a seed tells, and a count of its passes."""
    torch.manual_seed(seed)
    model = MODELS.build(
        dict(type='mmood.FrozenBackbone', backbone=backbone, **options)
    )
    lively(model)
    model.passes = []
    model.body.register_forward_pre_hook(
        lambda _, args: model.passes.append(len(args[0]))
    )
    return model


def unfrozen():
    model = MODELS.build(CNN)
    lively(model)
    return model


def pictures(count=3, seed=1):
    torch.manual_seed(seed)
    return torch.randn(count, 3, 32, 32)


def flat(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for part in outputs for tensor in flat(part)]


def assert_same(ours, theirs, **tolerance):
    assert len(flat(ours)) == len(flat(theirs))
    for a, b in zip(flat(ours), flat(theirs)):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize('backbone', [CNN, VIT], ids=['cnn', 'vit'])
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float32'])
def test_a_hit_is_what_the_backbone_says(tmp_path, backbone, dtype):
    model = frozen(backbone, cache=str(tmp_path), dtype=dtype)
    images = pictures()
    expected = [
        part.to(getattr(torch, dtype)).float()
        for part in flat(model.body(images))
    ]
    model.passes.clear()
    missed, hit = model(images), model(images)
    assert model.passes == [3]
    near = dict(rtol=1e-2 if dtype == 'bfloat16' else 2e-3, atol=1e-4)
    assert_same(missed, expected, **near)
    assert_same(hit, missed, rtol=0, atol=0)
    assert all(part.dtype == torch.float32 for part in flat(hit))


def test_pictures_are_found_in_any_batch_and_by_any_process(tmp_path):
    images = pictures(4)
    whole = frozen(cache=str(tmp_path))(images[:3])
    again = frozen(cache=str(tmp_path))  # the same config and weights
    mixed = again(images[[3, 1, 0]])
    assert again.passes == [1]
    assert_same([m[1:] for m in mixed], [m[[1, 0]] for m in whole])


def test_another_picture_config_or_weight_is_never_found(tmp_path):
    options, images = dict(cache=str(tmp_path)), pictures(1)
    frozen(**options)(images)
    for model, shown in (
        (frozen(**options), images + 1e-4),
        (frozen(**options), images[..., :-2]),
        (frozen({**CNN, 'out_indices': (1, 4)}, **options), images),
        (frozen(seed=5, **options), images),
        (frozen(dtype='float32', **options), images),
    ):
        model(shown)
        assert model.passes == [1]


def test_weights_that_change_later_are_noticed(tmp_path):
    model, images = frozen(cache=str(tmp_path)), pictures(1)
    before = model(images)
    with torch.no_grad():
        for part in model.parameters():
            part.mul_(1.5)
    after = model(images)
    assert model.passes == [1, 1]
    assert not torch.allclose(before[0], after[0], atol=1e-3)
    state = frozen(seed=7).state_dict()
    model.load_state_dict(state)
    assert_same(model(images), frozen(seed=7)(images), rtol=0, atol=1e-6)


def test_without_a_cache_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, images = frozen(), pictures(2)
    assert_same(model(images), model(images))
    assert model.passes == [2, 2]
    assert not list(tmp_path.iterdir())


def test_it_stays_in_eval_mode_without_gradients():
    model = frozen()
    nn.Sequential(model).train()
    assert not any(part.training for part in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    assert not model(pictures())[0].requires_grad


def test_gradients_reach_the_pictures_past_the_cache(tmp_path):
    model = frozen(cache=str(tmp_path))
    images = pictures(1).requires_grad_()
    model(images)[0].sum().backward()
    assert images.grad.abs().sum() > 0
    assert not list(tmp_path.rglob('*.pt'))


def test_mixed_precision_changes_nothing(tmp_path):
    images = pictures(1)
    plain = frozen()(images)
    with torch.autocast('cpu', torch.bfloat16):
        assert_same(frozen(cache=str(tmp_path))(images), plain)


def test_the_precision_of_products_changes_nothing(tmp_path):
    """What is kept in one training is read in another."""
    model, seen = frozen(cache=str(tmp_path)), []
    model.body.register_forward_pre_hook(
        lambda *_: seen.append(torch.get_float32_matmul_precision())
    )
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision('medium')
        model(pictures(1))
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == ['highest']


@pytest.mark.parametrize('strict', [True, False])
def test_its_state_is_the_backbones(strict):
    model = nn.ModuleDict(dict(backbone=frozen()))
    plain = nn.ModuleDict(dict(backbone=unfrozen()))
    assert [*model.state_dict()] == [*plain.state_dict()]
    model.load_state_dict(plain.state_dict(), strict=strict)
    images = pictures()
    assert_same(model['backbone'].body(images), plain['backbone'](images))
    plain.load_state_dict(frozen_state := model.state_dict(), strict=strict)
    assert [*frozen_state] == [*plain.state_dict()]


def test_a_key_too_many_or_too_few_is_named_as_ever():
    model = nn.ModuleDict(dict(backbone=frozen()))
    state = dict(model.state_dict())
    first = next(iter(state))
    state['backbone.extra'] = state.pop(first)
    found = model.load_state_dict(state, strict=False)
    assert found.missing_keys == [first]
    assert found.unexpected_keys == ['backbone.extra']


def test_recorded_features_come_with_a_hit(tmp_path):
    options, images = dict(cache=str(tmp_path)), pictures(2)
    model = frozen(VIT, **options)

    def recorder():
        return watch(model.body.layers[0])

    with model.record('first', recorder) as maps:
        model(images)
        model(images)
    assert model.passes == [2]
    assert_same(maps[0], maps[1], rtol=0, atol=0)
    expected = lively_layer(frozen(VIT).body, images)
    torch.testing.assert_close(maps[0], expected, rtol=2e-3, atol=2e-3)
    assert not model.recorders


def test_a_feature_that_was_not_kept_is_made_and_added(tmp_path):
    model = frozen(VIT, cache=str(tmp_path))
    images = pictures(1)
    before = model(images)
    for name in ('a', 'b', 'a'):
        with model.record(name, lambda: watch(model.body.layers[1])) as maps:
            assert_same(model(images), before)
        assert maps[0].shape[0] == 1
    assert model.passes == [1, 1, 1]


def test_one_pass_keeps_all_that_is_listed(tmp_path):
    model = frozen(VIT, cache=str(tmp_path))
    model.recorders = {
        str(i): lambda i=i: watch(model.body.layers[i]) for i in range(2)
    }
    model(pictures(1))
    for name in '01':
        with model.record(name, model.recorders[name]) as maps:
            model(pictures(1))
        assert len(maps) == 1
    assert model.passes == [1]


def test_a_type_that_is_none_is_refused():
    with pytest.raises(ValueError, match="float16.*got 'int8'"):
        FrozenBackbone(CNN, dtype='int8')


def test_pretrained_weights_reach_the_backbone(tmp_path):
    path = tmp_path / 'weights.pth'
    with DefaultScope.overwrite_default_scope('mmdet'):
        source = unfrozen()
        torch.save(source.state_dict(), path)
        init = dict(type='Pretrained', checkpoint=str(path))
        model = frozen({**CNN, 'init_cfg': init})
        model.init_weights()
    assert_same(model(pictures()), source(pictures()), rtol=2e-3, atol=1e-3)


class watch:
    """A context with the list of a module's outputs."""

    def __init__(self, module):
        self.module = module

    def __enter__(self):
        maps = []
        self.handle = self.module.register_forward_hook(
            lambda _, __, output: maps.append(output)
        )
        return maps

    def __exit__(self, *_):
        self.handle.remove()


def lively_layer(body, images):
    with watch(body.layers[0]) as maps:
        body(images)
    return maps[0]
