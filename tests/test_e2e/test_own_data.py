"""A user's data file with a method beside it, as docs/en/new_dataset.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from helpers import ROOT, write_coco
from mmood.launch import build_runner
from mmood.recipe import load

METHODS = sorted((ROOT / 'configs/_base_/methods').glob('*.py'))
DETECTOR_METHODS = [
    p.stem for p in METHODS if p.stem[-4:] not in ('_seg', 'dood')
]
CLASSES = ('bolt', 'nut', 'washer')
BOXES = [[4, 4, 24, 20], [30, 26, 24, 28], [36, 4, 20, 16]]
# Small, and what waits for more than a step does not wait.
TINY = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': [8, 16, 32, 64],
    'model.train_cfg.rpn_proposal.max_per_img': 20,
    'model.test_cfg.rpn.max_per_img': 20,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.max_epochs': 1,
}
EARLY = {
    'vos': {'ood.outliers.start_share': 0.0, 'ood.outliers.queue_size': 1},
    'ffs': {'ood.outliers.start_share': 0.0},
    'dream_box': {},
}
LOSSES = dict(
    csi=['loss_csi', 'loss_csi_shift'],
    dfdd=['loss_consistency', 'loss_deblur', 'loss_uncertainty'],
    dream_box=['loss_uncertainty'],
    ffs=['loss_flow', 'loss_uncertainty'],
    gan=['loss_gan', 'loss_uncertainty'],
    godin=[],
    posthoc=[],
    siren=['loss_vmf'],
    vos=['loss_uncertainty'],
)


def examples() -> dict[str, str]:
    """The files that docs/en/new_dataset.md shows, by their names."""
    page = (ROOT / 'docs/en/new_dataset.md').read_text()
    blocks = re.findall('```python\n# (\\w+\\.py)\n(.*?)```', page, re.S)
    # The working tree's configs, not those that are installed.
    return {k: v.replace('mmood::', f'{ROOT}/configs/') for k, v in blocks}


def write_sets(folder: Path) -> None:
    """ID sets of the docs with three objects an image, and an OOD set."""
    write_coco(folder, [BOXES] * 2, CLASSES)
    content = json.loads((folder / 'ann.json').read_text())
    for i, annotation in enumerate(content['annotations']):
        annotation['category_id'] = content['categories'][i % 3]['id']
        annotation['ood'] = int(i % 3 == 0)
    text = json.dumps(content)
    for name in ('train', 'val', 'annotations'):
        (folder / f'{name}.json').write_text(text)
    write_coco(folder, [BOXES[:1]], ['hammer']).rename(folder / 'ood.json')


@pytest.mark.parametrize('method', DETECTOR_METHODS)
@pytest.mark.parametrize('family', ['faster-rcnn', 'cascade-rcnn'])
def test_every_method_trains_on_the_same_data_file(family, method, tmp_path):
    files = examples()
    write_sets(tmp_path)
    data = files['my_data.py'].replace('data/screws/', f'{tmp_path}/')
    cascade = f'cascade_rcnn/{family}_r50_fpn_1x_coco.py'
    if family == 'cascade-rcnn':
        data = re.sub(r'mmdet::\S+\.py', f'mmdet::{cascade}', data)
    (tmp_path / 'my_data.py').write_text(data)
    path = tmp_path / 'my_method.py'
    text = files['my_vos.py'].replace('vos', method)
    if method == 'dream_box':
        text += f"ood = dict(painted=dict(data_root='{tmp_path}/'))\n"
    path.write_text(text)

    cfg = load(path, {**TINY, **EARLY.get(method, {})})
    cfg.work_dir, cfg.launcher = str(tmp_path / 'work'), 'none'
    cfg.experiment_name = f'{family}_{method}'
    for name in ('train', 'val', 'fit'):
        shrink_images(cfg[f'{name}_dataloader'].dataset)
    runner = build_runner(cfg)
    head = runner.model.roi_head
    for stage in getattr(head, 'bbox_head', None) and stages(head):
        assert stage.num_classes == 3
    runner.train()
    losses = {
        key.split('/')[1].split('.')[-1]: float(buffer.data[0][-1])
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.startswith('train/') and 'loss' in key
    }
    assert np.isfinite(list(losses.values())).all()
    own = set(losses) - {'loss', 'loss_cls', 'loss_bbox'}
    assert sorted(k for k in own if 'rpn' not in k) == LOSSES[method]
    # Fitted and calibrated, whatever the scores are.
    for name in head.scores.names:
        assert torch.isfinite(head.scores.thresholds[name]), name


def stages(head: torch.nn.Module) -> list:
    parts = head.bbox_head
    return list(parts) if isinstance(parts, torch.nn.ModuleList) else [parts]


def shrink_images(dataset: Config) -> None:
    for part in dataset.get('datasets', [dataset]):
        for step in part.pipeline:
            if step.type.endswith('Resize'):
                step.scale = (64, 64)
