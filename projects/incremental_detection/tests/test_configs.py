"""Every config is parsed, and each of its stages built."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from experiments.spec import load_table
from mmdet.registry import MODELS
from mmengine.config import Config
from stages import Plan, plan_of, stage_config, step_sets

from helpers import ROOT
from mmood.det.models import OODRoIHead
from mmood.necks import DFDDNeck
from mmood.registry import HOOKS, METRICS
from projects.incremental_detection.incremental_detection import (
    IncrementalFasterRCNN,
)
from projects.incremental_detection.incremental_detection.warp_hook import (
    warp_parameters,
)

CONFIGS = sorted(
    (ROOT / 'projects/incremental_detection/configs').glob('*.py')
)
METHODS = ('finetune', 'faster-ilod', 'iod', 'iod-dfdd')
TERMS = {
    'finetune': None,
    'faster-ilod': ['adaptive_backbone', 'adaptive_rpn', 'centred_roi'],
    'iod': ['backbone', 'roi'],
    'iod-dfdd': ['backbone', 'roi'],
}
VOC = [
    'airplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat',
    'chair', 'cow', 'dining table', 'dog', 'horse', 'motorcycle', 'person',
    'potted plant', 'sheep', 'couch', 'train', 'tv',
]  # fmt: skip
# Lengths of base, increment and fine-tuning, NMS in the fine-tuning.
LENGTHS = {
    '10-10': (18000, 18000, 5000, 0.4),
    '15-5': (18000, 2000, 10000, 0.3),
    '19-1': (18000, 2000, 3000, 0.3),
}


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


@cache
def plan_in(path: Path) -> tuple[Config, Plan]:
    cfg = Config.fromfile(path)
    return cfg, plan_of(cfg)


def stages_of(path: Path) -> dict[str, Config]:
    cfg, plan = plan_in(path)
    stages = {one.name: stage_config(cfg, plan, one, 0) for one in plan.stages}
    for stage in stages.values():  # the path is all that is missing
        if stage.model.get('distillation'):
            stage.model.teacher = 'teacher.pth'
    return stages


def method_of(path: Path) -> str:
    return path.name.split('_')[0]


def build(cfg: Config) -> IncrementalFasterRCNN:
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)


def test_every_method_comes_for_every_split():
    names = {path.stem for path in CONFIGS}
    splits = ['r18_fpn_shapes-4-2']
    splits += [f'r50-c4_voc-{split}' for split in LENGTHS]
    assert names == {
        *(f'{m}_faster-rcnn_{split}' for m in METHODS for split in splits),
        'iod_faster-rcnn_r18_fpn_shapes-4-2-2',
        'faster-ilod_faster-rcnn_lite0_fpn_shapes-8',
    }


@by_name(CONFIGS)
def test_stages_are_built(path):
    """Of each: a detector of the right classes, hooks and metric."""
    stages = stages_of(path)
    _, plan = plan_in(path)
    assert plan.exemplars == 10
    terms, method = TERMS[method_of(path)], method_of(path)
    for stage, (name, cfg) in zip(plan.stages, stages.items()):
        is_increment = stage.kind == 'increment'
        METRICS.build(cfg.test_evaluator)
        hooks = [HOOKS.build(hook) for hook in cfg.custom_hooks]
        warps = is_increment and method.startswith('iod')
        assert len(hooks) == warps, name
        distils = cfg.model.get('distillation')
        assert (list(distils) if distils else None) == (
            terms if is_increment else None
        )
        if 'r50' in path.name and not is_increment:
            continue  # it has no part that the increment's has not
        model = build(cfg)
        head = model.roi_head.bbox_head
        assert type(model) is IncrementalFasterRCNN
        assert head.num_classes == len(plan.classes)
        assert head.fc_cls.num_seen == plan.number_seen(stage.step)
        assert head.fc_reg.out_features == 4  # class-agnostic
        assert (model.distiller is not None) == bool(distils)
        assert sum(isinstance(m, DFDDNeck) for m in model.modules()) == (
            method == 'iod-dfdd'
        )
        if warps:
            found = warp_parameters(model, hooks[0].layers)
            assert [p.dim() for p in found] == (
                [4] if 'r50' in path.name else [2, 1]
            )


@by_name([path for path in CONFIGS if method_of(path) == 'iod-dfdd'])
def test_dfdd_brings_a_classifier_and_no_uncertainty(path):
    base = stages_of(path)['step_0']
    model = build(base)
    head = model.roi_head
    assert isinstance(head, OODRoIHead)
    assert list(head.losses) == ['BlurredClassifierLoss', 'ConsistencyLoss']
    # The learning rate of the deblurring network goes to that network.
    (key,) = base.optim_wrapper.paramwise_cfg.custom_keys
    raised = {n for n, _ in model.named_parameters() if key in n}
    unet = [m.unet for m in model.modules() if isinstance(m, DFDDNeck)][0]
    assert len(raised) == len(list(unet.parameters())) > 0


@by_name([path for path in CONFIGS if method_of(path) != 'finetune'])
def test_methods_differ_from_fine_tuning_by_themselves_alone(path):
    rest = path.name.split('_', 1)[1]
    plain = path.with_name(f'finetune_{rest}')
    if not plain.is_file():
        pytest.skip('no plain twin of this split')
    for (name, mine), twin in zip(
        stages_of(path).items(), stages_of(plain).values()
    ):
        if method_of(path) == 'iod-dfdd':
            neck = mine.model.neck
            is_list = isinstance(neck, list)
            mine.model.neck = neck[0] if is_list else twin.model.get('neck')
            for key in ('losses', 'outliers'):
                del mine.model.roi_head[key]
            del mine.optim_wrapper['paramwise_cfg']
            mine.log_processor = twin.log_processor  # of any method
        if name == 'step_1':
            for key in ('distillation', 'teacher', 'task_weight'):
                mine.model.pop(key, None)
            mine.custom_hooks = []
        kept = {k: v for k, v in mine.to_dict().items() if k in twin}
        kept['resolved'] = twin.resolved  # names of variables
        kept['model'] = {k: v for k, v in kept['model'].items()
                         if k in twin.model}  # fmt: skip
        assert kept == twin.to_dict()


@by_name([path for path in CONFIGS if 'voc' in path.name])
def test_voc_is_trained_as_the_public_configs_say(path):
    split = path.stem.split('voc-')[1]
    base, increment, finetune, nms = LENGTHS[split]
    stages = stages_of(path)
    number = int(split.split('-')[0])
    steps = plan_in(path)[1].steps
    assert steps == [VOC[:number], VOC[number:]]
    lengths = [cfg.train_cfg.max_iters for cfg in stages.values()]
    assert lengths == [base, increment, finetune]
    lrs = [cfg.optim_wrapper.optimizer.lr for cfg in stages.values()]
    assert lrs == [0.005, 0.005, 0.0001]
    assert stages['step_1_finetune'].param_scheduler == []
    nmss = [c.model.test_cfg.rcnn.nms.iou_threshold for c in stages.values()]
    assert nmss == [0.3, 0.3, nms]
    for cfg in stages.values():
        train = cfg.train_dataloader.dataset
        assert train.ann_file == 'annotations/voc2007_trainval.json'
        assert train.filter_cfg == dict(filter_empty_gt=True)
        test = cfg.test_dataloader.dataset
        assert test.ann_file == 'annotations/voc2007_test_ignore.json'
        assert test.test_mode
        assert cfg.auto_scale_lr.base_batch_size == 8
        assert cfg.train_cfg.val_begin > cfg.train_cfg.max_iters


def test_specs_name_all_configs_but_the_split_of_ones_own():
    project = CONFIGS[0].parents[1]
    names = ('shapes', 'voc', 'open_world')
    tables = [load_table(project / f'table_{n}.yaml') for n in names]
    found = [ROOT / row.config for table in tables for row in table.rows]
    assert sorted(found) == [p for p in CONFIGS if '4-2-2' not in p.name]
    assert len(tables[0].seeds) == 3


def test_the_readmes_split_of_ones_own_works(tmp_path):
    readme = (CONFIGS[0].parents[1] / 'README.md').read_text()
    (text,) = re.findall(r'```python\n(.*?)```', readme, flags=re.S)
    path = tmp_path / 'own.py'
    path.write_text(text.replace('./_base_', f'{CONFIGS[0].parent}/_base_'))
    stages = stages_of(path)
    assert [*stages][-1] == 'step_2_finetune'
    assert stages['step_0'].train_cfg.max_epochs == 20
    last = stages['step_2']
    assert last.test_evaluator.groups == dict(
        old=['screw', 'nut', 'bolt', 'washer'], new=['nail', 'hook']
    )
    for part in ('train', 'val', 'test'):
        dataset = last[f'{part}_dataloader'].dataset
        assert dataset.data_root == 'data/screws/'
        assert dataset.ann_file == f'{part}.json'
    (stored,) = step_sets(last.custom_hooks)
    assert (stored.data_root, stored.exemplars) == ('data/screws/', 20)
    model = build(last)
    assert model.roi_head.bbox_head.num_classes == 6
    assert model.num_old == 4
