"""Features go with the config and the weights that they were made with."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmood.hooks import CheckFeaturesHook
from mmood.hooks.check_features import source_of


def config(**model):
    model = dict(backbone='vit', probe=dict(keys=-1), losses=1, **model)
    images = dict(type='Set', pipeline=['Load'])
    return Config(
        dict(
            model=model,
            train_dataloader=dict(dataset=dict(dataset=images, vectors=9)),
        )
    )


def segmentor(value=1.0):
    model = nn.Module()
    model.backbone = nn.Linear(2, 2)
    nn.init.constant_(model.backbone.weight, value)
    nn.init.zeros_(model.backbone.bias)
    for name in ('losses', 'scores'):
        model.add_module(name, nn.Linear(1, 1))  # drawn by chance
    model.register_buffer('scale', torch.tensor(1, dtype=torch.bfloat16))
    model.register_buffer('ood_threshold', torch.rand(()))
    return model


def check(about, cfg, model):
    cache = None
    if about is not None:
        cache = SimpleNamespace(about=about, folder='some/cache')
    dataset = SimpleNamespace(cache=cache)
    runner = SimpleNamespace(
        cfg=cfg,
        model=model,
        train_dataloader=SimpleNamespace(dataset=dataset),
    )
    CheckFeaturesHook().before_train(runner)


def test_what_comes_after_the_features_may_differ():
    about = source_of(config(), segmentor())
    cfg = config(scores=['energy'])
    cfg.model.losses = 2
    cfg.train_dataloader.dataset.vectors = 3
    wrapped = nn.DataParallel(segmentor())
    for model in (segmentor(), wrapped):
        check(about, cfg, model)
    check(None, cfg, segmentor(2))


@pytest.mark.parametrize(
    ('key', 'value', 'weight', 'named'),
    [
        ('model.probe.keys', -2, 1, 'config'),
        ('model.backbone', 'swin', 1, 'config'),
        ('train_dataloader.dataset.dataset.pipeline', ['Crop'], 1, 'config'),
        ('model.losses', 2, 1.001, 'segmentor'),
    ],
)
def test_other_features_are_refused(key, value, weight, named):
    about = source_of(config(), segmentor())
    cfg = config()
    cfg.merge_from_dict({key: value})
    message = f'some/cache holds features of another {named} .* load_from'
    with pytest.raises(ValueError, match=message):
        check(about, cfg, segmentor(weight))
    with pytest.raises(ValueError, match='None there'):
        check({}, config(), segmentor())
