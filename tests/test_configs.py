"""Every config is parsed and its model built; every index entry exists."""

from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from helpers import ROOT, write_coco
from mmood.det.models import OODRoIHead
from mmood.necks import DFDDNeck
from mmood.registry import DATASETS

CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').glob('*/*.py')
    if path.parent.name != '_base_'
)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_model_is_built_as_the_config_says(path):
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert isinstance(model.roi_head, OODRoIHead)
    classes = cfg.train_dataloader.dataset.metainfo.classes
    assert model.roi_head.bbox_head.num_classes == len(classes)
    necks = [m for m in model.modules() if isinstance(m, DFDDNeck)]
    assert len(necks) == (path.parent.name == 'dfdd')
    sets = cfg.test_dataloader.dataset.datasets
    assert sets[0].type == 'mmood.IDCocoDataset'
    assert {s.type for s in sets[1:]} == {'mmood.OODCocoDataset'}
    assert 'mmood.CalibrateOODHook' in [h.type for h in cfg.custom_hooks]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_is_short_and_shallow(path):
    assert len(path.read_text().splitlines()) <= 40
    assert depth(path) <= 3  # itself and two levels of ours


def depth(path: Path) -> int:
    """Levels of inheritance among our own configs."""
    found = Config._get_base_files(str(path))
    own = [b for b in found if '::' not in b]
    return 1 + max((depth(path.parent / b) for b in own), default=0)


def test_dfdd_differs_from_its_plain_twin_by_dfdd_alone():
    for path in CONFIGS:
        if path.parent.name != 'dfdd':
            continue
        cfg = Config.fromfile(path)
        twin = path.name.replace('dfdd_', '')
        plain = Config.fromfile(ROOT / 'configs/posthoc' / twin)
        cfg.model.neck = cfg.model.neck[0]
        del cfg.model.roi_head['loss_uncertainty']
        del cfg.model.roi_head['loss_consistency']
        del cfg.optim_wrapper['paramwise_cfg']
        assert cfg.to_dict() == plain.to_dict()


def test_the_model_index_lists_every_config():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    listed = []
    for metafile in index['Import']:
        content = yaml.safe_load((ROOT / metafile).read_text())
        listed += [model['Config'] for model in content['Models']]
    own = [str(path.relative_to(ROOT)) for path in CONFIGS]
    assert sorted(listed) == sorted(own)


def test_own_coco_set_as_the_docs_say(tmp_path):
    """The config of docs/en/new_dataset.md trains on three new classes."""
    page = (ROOT / 'docs/en/new_dataset.md').read_text()
    text = page.split('```python\n')[1].split('```')[0]
    assert len(text.strip().splitlines()) <= 25
    classes = ('bolt', 'nut', 'washer')
    ann = write_coco(tmp_path, [[[4, 4, 20, 20]], [[9, 9, 30, 30]]], classes)
    for name in ('train', 'val'):
        (tmp_path / f'{name}.json').write_text(ann.read_text())
    write_coco(tmp_path, [[[4, 4, 20, 20]]], ['hammer']).rename(
        tmp_path / 'ood.json'
    )
    text = text.replace('data/screws/', f'{tmp_path}/')
    text = text.replace('mmood::', f'{ROOT}/configs/')
    path = tmp_path / 'my_dfdd.py'
    path.write_text(text)

    cfg = Config.fromfile(path)
    assert cfg.val_evaluator.ann_file == str(tmp_path / 'val.json')
    cfg.train_dataloader.dataset.pipeline[2] = dict(
        type='Resize', scale=(64, 64)
    )
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert train.metainfo['classes'] == classes
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    losses = model.parse_losses(
        model(**model.data_preprocessor(pseudo_collate([train[0]]), True),
              mode='loss')
    )[1]  # fmt: skip
    assert {'loss_uncertainty', 'loss_deblur'} <= set(losses)
    assert torch.isfinite(torch.stack(list(losses.values()))).all()

    test = DATASETS.build(cfg.test_dataloader.dataset)
    origins = [sample['data_samples'].origin for sample in test]
    assert origins == ['id', 'id', 'unknown']
    assert test.metainfo['classes'] == classes
