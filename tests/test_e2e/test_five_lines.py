"""Any detector of MMDetection by the docs' five lines, to an OOD table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config

from helpers import ROOT, write_coco
from mmood.config import ConfigError
from mmood.launch import build_runner
from mmood.recipe import load, resolve

COCO = CocoDataset.METAINFO['classes']
OWN = ('bolt', 'nut', 'washer')
BOXES = [[2, 2, 20, 18], [24, 4, 22, 20], [8, 24, 24, 22]]
MODELS = dict(
    retinanet='retinanet/retinanet_r50_fpn_1x_coco',
    fcos='fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
    atss='atss/atss_r50_fpn_1x_coco',
    gfl='gfl/gfl_r50_fpn_1x_coco',
    yolox='yolox/yolox_s_8xb8-300e_coco',
    rtmdet='rtmdet/rtmdet_tiny_8xb32-300e_coco',
    detr='detr/detr_r50_8xb2-150e_coco',
    conditional='conditional_detr/conditional-detr_r50_8xb2-50e_coco',
    deformable='deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    dino='dino/dino-4scale_r50_8xb2-12e_coco',
)
# What makes each family small.
_R18 = "depth=18, base_channels=8, norm_cfg=dict(type='BN'), init_cfg=None"
SMALL = dict(
    retinanet=f"""
model = dict(backbone=dict({_R18}), neck=dict(in_channels=[8, 16, 32, 64]))
model['test_cfg'] = dict(score_thr=0.0, nms_pre=20, max_per_img=10)
""",
    rtmdet="""
model = dict(backbone=dict(init_cfg=None))
model['test_cfg'] = dict(score_thr=0.0, nms_pre=20, max_per_img=10)
""",
    dino=f"""
model = dict(backbone=dict({_R18}), neck=dict(in_channels=[16, 32, 64]))
model.update(encoder=dict(num_layers=1), decoder=dict(num_layers=1))
model.update(num_queries=20, test_cfg=dict(max_per_img=10))
""",
)
COMMON = """
ood = dict(scores=['energy', 'msp'])
load = dict(type='LoadImageFromFile')
resize = dict(type='Resize', scale=(64, 64), keep_ratio=False)
label = dict(type='LoadAnnotations', with_bbox=True)
pack = dict(type='PackDetInputs')
few = dict(batch_size=2, num_workers=0, persistent_workers=False)
few['dataset'] = dict(pipeline=[load, label, resize, pack])
train_dataloader = val_dataloader = test_dataloader = few
val_evaluator = test_evaluator = dict(
    _delete_=True, type='mmood.OODDetMetric', score_threshold=0.0
)
train_cfg = dict(max_epochs=1, dynamic_intervals=None)
custom_hooks = []
"""


def example(page: str, name: str) -> str:
    """A file that a page shows, with the working tree's configs."""
    text = (ROOT / 'docs/en' / page).read_text()
    (block,) = re.findall(f'```python\n# {name}\n(.*?)```', text, re.S)
    return block.replace('mmood::', f'{ROOT}/configs/')


def write_set(folder: Path, ann_file: str, classes: tuple, images: str = ''):
    """Four images with objects of the first classes, the file has them all."""
    (folder / images).mkdir(parents=True, exist_ok=True)
    path = write_coco(folder / images, [BOXES] * 4, classes)
    content = json.loads(path.read_text())
    for i, one in enumerate(content['annotations']):
        one['category_id'] = content['categories'][i % len(BOXES)]['id']
    path.unlink()
    (folder / ann_file).parent.mkdir(parents=True, exist_ok=True)
    (folder / ann_file).write_text(json.dumps(content))


def runner_of(path: Path, folder: Path):
    cfg = load(path)
    cfg.work_dir, cfg.launcher = str(folder / 'work'), 'none'
    cfg.visualizer.name = cfg.experiment_name = folder.name
    torch.manual_seed(0)
    return build_runner(cfg)


def check_table(metrics: dict, name: str) -> None:
    """FPR95 and AUROC of each score, and mAP of the ID images."""
    for score in ('energy', 'msp'):
        for measure in ('FPR95', 'AUROC'):
            (key,) = [k for k in metrics if k.endswith(
                f'{name}/{score}/{measure}')]  # fmt: skip
            assert 0 <= metrics[key] <= 1
    assert any(key.endswith('bbox_mAP') for key in metrics)


def test_they_are_five_lines():
    assert len(example('any_detector.md', 'my_rtmdet.py').splitlines()) == 5


@pytest.mark.parametrize('kind', MODELS)
def test_every_family_takes_the_five_lines(kind, tmp_path):
    text = example('any_detector.md', 'my_rtmdet.py')
    path = tmp_path / f'my_{kind}.py'
    path.write_text(text.replace(MODELS['rtmdet'], MODELS[kind]))
    cfg = load(path)
    assert cfg.model.bbox_head.type == 'mmood.OODHead'
    known, far = cfg.test_dataloader.dataset.datasets
    assert known.type == 'mmood.IDCocoDataset'
    assert far.type == 'mmood.OODCocoDataset' and far.name == 'far'
    assert far.pipeline == known.pipeline and far.test_mode
    assert (far.data_root, far.ann_file) == ('data/far/', 'ood.json')
    assert cfg.test_evaluator.type == 'mmood.OODDetMetric'
    assert 'datasets' not in cfg.val_dataloader.dataset


@pytest.mark.parametrize('kind', SMALL)
def test_five_lines_end_in_an_ood_table(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ann_file = 'annotations/instances_val2017.json'
    write_set(Path('data/coco'), ann_file, COCO, 'val2017')
    write_set(Path('data/coco'), ann_file.replace('val', 'train'), COCO)
    write_set(Path('data/far'), 'ood.json', ('hammer', 'saw', 'axe'))
    text = example('any_detector.md', 'my_rtmdet.py')
    text = text.replace(MODELS['rtmdet'], MODELS[kind])
    (tmp_path / f'my_{kind}.py').write_text(text)
    path = tmp_path / 'small.py'
    path.write_text(f"_base_ = 'my_{kind}.py'\n{SMALL[kind]}{COMMON}")
    runner = runner_of(path, tmp_path)
    if kind == 'dino':  # its level embedding is not filled when it is built
        runner.model.init_weights()
    check_table(runner.test(), 'far')


@pytest.mark.parametrize('kind', SMALL)
def test_own_data_on_each_family(kind, tmp_path):
    """Trained, calibrated and tested as docs/en/new_dataset.md says."""
    for name in ('train', 'val'):
        write_set(tmp_path, f'{name}.json', OWN)
    write_set(tmp_path, 'ood.json', ('hammer', 'saw', 'axe'))
    data = example('new_dataset.md', 'my_cascade.py')
    base = 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco'
    assert base in data
    for file, text in (
        (f'my_{kind}.py', data.replace(base, MODELS[kind])),
        ('my_scores.py', example('new_dataset.md', 'my_scores.py')),
    ):
        text = text.replace('my_cascade.py', f'my_{kind}.py')
        text = text.replace('data/screws/', f'{tmp_path}/')
        (tmp_path / file).write_text(text)
    path = tmp_path / 'small.py'
    path.write_text(f"_base_ = 'my_scores.py'\n{SMALL[kind]}{COMMON}")
    runner = runner_of(path, tmp_path)
    runner.train()
    head = runner.model.bbox_head
    assert head.num_classes == len(OWN)
    for name in ('energy', 'msp'):
        assert np.isfinite(head.scores.thresholds[name].item())
    check_table(runner.test(), 'hammers')


RETINA = "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"


@pytest.mark.parametrize(
    'unknown', [['a.json'], dict(far='a.json'), dict(far=dict(data_root='x'))]
)
def test_what_are_no_sets_is_refused(unknown, tmp_path):
    path = tmp_path / 'a.py'
    path.write_text(
        f"{RETINA}ood = dict(scores=['energy'], unknown={unknown!r})"
    )
    with pytest.raises(ConfigError, match='ood.unknown is .*its ann_file, as'):
        load(path)


def test_without_a_test_there_is_nothing_to_add_to():
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/shapes_detector.py')
    far = dict(far=dict(ann_file='a.json'))
    text = cfg.pretty_text + f"\nood = dict(scores=['msp'], unknown={far})"
    with pytest.raises(ConfigError, match='has no test_dataloader'):
        resolve(Config.fromstring(text, '.py'))
