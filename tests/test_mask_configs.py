"""The configs of Mask2Former with all scores of masks."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from helpers import ROOT
from mmood.recipe import load
from mmood.registry import MODELS
from mmood.seg.models import OODEncoderDecoder

CONFIGS = sorted((ROOT / 'configs/mask2former').glob('*.py'))
NAMES = ('rba', 'mask2anomaly', 'eam', 'maskomaly', 'max_logit', 'msp')
NAMES += ('energy', 'entropy')


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


def small(cfg):
    """Without weights, and with few layers of the backbone."""
    backbone = cfg.model.backbone
    if backbone.type == 'mmood.FrozenBackbone':
        backbone.cache = None
        backbone = backbone.backbone
    backbone.init_cfg = None
    if 'depths' in backbone:
        backbone.depths = (1, 1, 1, 1)
    return cfg.model


@by_name(CONFIGS)
def test_it_has_all_scores_of_masks(path):
    cfg = load(path)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(small(cfg))
    assert type(model) is OODEncoderDecoder and not model.losses
    assert model.scores.kind == 'mask'
    if 'camvid' in path.stem:  # on which no query finds outliers
        assert not model.scores.fitted and set(model.scores.names) < set(NAMES)
    else:
        assert model.scores.names == NAMES
        assert model.scores.fitted['maskomaly'].fitted_on == 'outliers'
    weights = model.decode_head.loss_cls.class_weight
    assert len(weights) == model.num_classes + 1
    for part in (*model.scores.buffers(), *model.scores.parameters()):
        assert not part.requires_grad
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert hooks[1:3] == ['mmood.FitScoresHook', 'mmood.CalibrateOODHook']


@by_name(CONFIGS)
def test_outliers_are_pasted_into_validation_images(path):
    """Where image and labels have one size; not into what is validated."""
    cfg = load(path)
    dataset = cfg.outlier_dataloader.dataset
    steps = [step.type.split('.')[-1] for step in dataset.pipeline]
    kind = 'OOD' if 'cityscapes' in path.stem else 'ID'
    assert steps[:3] == [
        'LoadImageFromFile',
        f'Load{kind}Annotations',
        'PasteOutliers',
    ]
    assert dataset.data_prefix == cfg.val_prefix
    assert 'Paste' not in str(cfg.val_dataloader)
    paste = dataset.pipeline[2]
    assert paste.prob == 1
    assert 'outlier_label' not in paste  # the default of both


@by_name([path for path in CONFIGS if 'cityscapes' in path.stem])
def test_it_trains_as_in_mmseg(path):
    cfg = load(path)
    name = path.stem.removesuffix('_90k_cityscapes')
    name += '-in22k-384x384-pre' if 'swin' in name else ''
    mmsegs = get_config(
        f'mmseg::mask2former/{name}_8xb2-90k_cityscapes-512x1024.py'
    )
    for key in ('optim_wrapper', 'train_cfg', 'auto_scale_lr', 'crop_size'):
        assert cfg[key] == mmsegs[key]
    assert cfg.train_dataloader.batch_size == 2  # of 8 GPUs
    own, theirs = cfg.param_scheduler[0], mmsegs.param_scheduler[0]
    # The runner's default for the rest.
    assert {**own, 'begin': 0, 'end': 90_000} == theirs
    steps = cfg.train_pipeline
    kinds = [step.type.split('.')[-1] for step in steps]
    expected = [step.type for step in mmsegs.train_pipeline]
    assert kinds == [k.replace('LoadA', 'LoadIDA') for k in expected]
    for i in (2, 3, 4):
        ours, own = dict(steps[i]), dict(mmsegs.train_pipeline[i])
        assert (ours.pop('type'), own.pop('type'))[1] in kinds
        assert ours == own
    # All but the adapter's type and its scores.
    for key in ('type', 'scores'):
        cfg.model.pop(key), mmsegs.model.pop(key, None)
    assert cfg.model == mmsegs.model
