"""Distillation and warp steps on two processes do what one does."""

import copy
import sys

import pytest
import torch

from helpers import ROOT, run
from mmood.registry import MODELS
from projects.incremental_detection import incremental_detection  # noqa: F401

SCRIPT = ROOT / 'tests/test_e2e/train_cpu_ranks.py'
DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
TERMS = dict(
    backbone={},
    roi=dict(weight=0.2),
    adaptive_backbone={},
    adaptive_rpn={},
    centred_roi=dict(num=8, of=8),
)
WARP = 'roi_head.bbox_head.shared_fcs.1'


@pytest.fixture
def config(shapes, tiny_config, tmp_path):
    """DFDD's detector on sixteen images, without flips."""
    cfg = tiny_config(DFDD, shapes, tmp_path)
    cfg.custom_imports = dict(
        imports=['projects.incremental_detection.incremental_detection']
    )
    cfg.model.type = 'mmood.IncrementalFasterRCNN'
    cfg.model.backbone.norm_eval = True
    cfg.model.roi_head.bbox_head.cls_predictor_cfg = dict(
        type='mmood.GrowingLinear', num_seen=8
    )
    cfg.param_scheduler = []
    loader = cfg.train_dataloader
    loader.pop('batch_sampler')
    loader.dataset.indices = 16
    loader.dataset.pipeline = [
        step
        for step in loader.dataset.pipeline
        if step.type != 'mmdet.RandomFlip'
    ]
    return cfg


def train(cfg, ranks, folder):
    """What each rank has after four iterations and two warp steps.

    RoIs are sampled without chance.
    """
    for stage in (cfg.model.train_cfg.rpn, cfg.model.train_cfg.rcnn):
        stage.sampler.type = 'FirstSampler'
    stored = cfg.train_dataloader.to_dict()
    stored.pop('sampler')
    stored['dataset']['indices'] = 8
    cfg.train_dataloader.batch_size = stored['batch_size'] = 4 // ranks
    cfg.custom_hooks = [
        dict(
            type='mmood.WarpGradientHook',
            layers=[WARP],
            dataloader=stored,
            interval=2,
        )
    ]
    cfg.launcher = 'pytorch' if ranks > 1 else 'none'
    cfg.work_dir = str(folder / f'work{ranks}')
    path, out = folder / f'config{ranks}.py', folder / f'result{ranks}'
    cfg.dump(path)
    launch = [sys.executable]
    if ranks > 1:
        launch += ['-m', 'torch.distributed.run', '--standalone']
        launch += [f'--nproc_per_node={ranks}']
    run(*launch, SCRIPT, path, out, PYTHONPATH=str(ROOT))
    return [
        torch.load(f'{out}.{rank}', weights_only=True) for rank in range(ranks)
    ]


def test_two_processes_equal_one(config, tmp_path):
    teacher = MODELS.build(copy.deepcopy(config.model))
    teacher.init_weights()
    before = {n: v.clone() for n, v in teacher.state_dict().items()}
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(1.5)
    path = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=teacher.state_dict()), path)
    config.model.update(
        num_old=4, teacher=str(path), distillation=TERMS, task_weight=0.8
    )
    start = tmp_path / 'start.pth'
    torch.save(dict(state_dict=before), start)
    config.load_from = str(start)
    (one,) = train(config, 1, tmp_path)
    two = train(config, 2, tmp_path)
    names = {f'loss_distill_{term}' for term in TERMS}
    assert len(one['losses']) == 4
    for step, expected in enumerate(one['losses']):
        assert names | {'loss_uncertainty', 'loss_deblur'} < set(expected)
        for name, value in expected.items():
            ranks = [rank['losses'][step][name] for rank in two]
            close = pytest.approx(value, rel=1e-3, abs=1e-5)
            assert sum(ranks) / 2 == close, name
        assert min(expected[name] for name in names) > 1e-3
    for name, value in one['state'].items():
        if value.is_floating_point():
            for rank in two:
                torch.testing.assert_close(
                    rank['state'][name], value, atol=1e-5, rtol=1e-4,
                    equal_nan=True,
                )  # fmt: skip
    moved = one['state'][f'{WARP}.weight'] - before[f'{WARP}.weight']
    assert moved.abs().max() > 1e-3
