"""Configs of outlier exposure: what learns, from what, on what schedule."""

import pytest
from mmengine.config import Config

from helpers import ROOT
from mmood.recipe import load
from mmood.registry import DATASETS

FOLDERS = ('rba', 'mask2anomaly', 'energy_hinge')
PATHS = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / 'configs' / folder).glob('*.py')
)  # fmt: skip
CITYSCAPES = [path for path in PATHS if 'cityscapes' in path.stem]
LOSSES = dict(
    rba='RbALoss',
    mask2anomaly='Mask2AnomalyLoss',
    energy_hinge='EnergyHingeLoss',
)


def paste_of(cfg: Config) -> tuple[list[str], Config]:
    """The pipeline's transforms, and the one that pastes."""
    steps = cfg.train_dataloader.dataset.pipeline
    names = [step.type.split('.')[-1] for step in steps]
    assert names.count('PasteOutliers') == 1
    return names, steps[names.index('PasteOutliers')]


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_outliers_are_pasted_for_a_loss(path):
    assert len(PATHS) == 6
    cfg = load(path)
    names, paste = paste_of(cfg)
    (loss,) = cfg.model.pixel_losses
    assert loss.type == f'mmood.{LOSSES[path.parent.name]}'
    assert cfg.train_dataloader.sampler.type == 'mmood.InfiniteEpochSampler'
    # Objects change colours as the rest does.
    place = names.index('PasteOutliers')
    assert set(names[place + 1 :]) <= {
        'PhotoMetricDistortion',
        'PackSegInputs',
    }
    assert {'LoadIDAnnotations', 'RandomFlip'} <= set(names[:place])
    fit = [step.type for step in cfg.fit_dataloader.dataset.pipeline]
    assert 'mmood.PasteOutliers' not in fit
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert 'mmood.IdlePartsHook' in hooks
    assert 'pasted' not in str(cfg.val_dataloader)
    assert paste.get('outlier_label', 254) == 254


@pytest.mark.parametrize('path', CITYSCAPES, ids=lambda path: path.stem)
def test_objects_of_coco_are_of_no_class_of_cityscapes(path):
    source = paste_of(load(path))[1].source
    assert source.type == 'mmood.CocoObjects' and source.overlap == 'drop'
    classes = DATASETS.get('mmseg.CityscapesDataset').METAINFO['classes']
    assert tuple(source.id_classes) == classes
    assert 'stop sign' in source.exclude


def test_rba_is_trained_as_published():
    cfg = load(ROOT / 'configs/rba/rba_mask2former_swin-l_5k_cityscapes.py')
    paste = paste_of(cfg)[1]
    assert (paste.prob, paste.source.max_images) == (0.2, 300)
    assert paste.get('area') is None  # as large as in COCO
    assert cfg.train_cfg.max_iters == 5000
    assert cfg.model.trains == ['decode_head.cls_embed',
                                'decode_head.mask_embed']  # fmt: skip
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert cfg.train_dataloader.batch_size * 8 == 16
    assert cfg.model.scores[0] == 'rba'


def test_mask2anomaly_is_trained_as_published():
    name = 'mask2anomaly_mask2former_r50_5k_cityscapes.py'
    cfg = load(ROOT / 'configs/mask2anomaly' / name)
    paste = paste_of(cfg)[1]
    assert paste.prob == 0.2 and paste.get('area') is None
    assert cfg.train_cfg.max_iters == 5000
    assert cfg.optim_wrapper.optimizer.lr == 1e-5
    assert cfg.train_dataloader.batch_size * 8 == 8
    assert cfg.model.trains == ['decode_head']
    assert tuple(cfg.crop_size) == (380, 760)
    assert cfg.model.scores[0] == 'mask2anomaly'
