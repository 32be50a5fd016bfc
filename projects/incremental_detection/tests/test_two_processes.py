"""Distillation and warp steps on two processes do what one does."""

import copy

import pytest
import torch

from mmood.registry import MODELS
from projects.incremental_detection import incremental_detection  # noqa: F401
from rank_helpers import (
    assert_equal_losses,
    assert_equal_states,
    train_on_ranks,
    without_chance,
)

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
    """DFDD's detector on sixteen images, without chance."""
    cfg = tiny_config(DFDD, shapes, tmp_path)
    cfg.custom_imports = dict(
        imports=['projects.incremental_detection.incremental_detection']
    )
    cfg.model.type = 'mmood.IncrementalFasterRCNN'
    cfg.model.roi_head.bbox_head.cls_predictor_cfg = dict(
        type='mmood.GrowingLinear', num_seen=8
    )
    cfg.param_scheduler = []
    cfg.train_dataloader.dataset.indices = 16
    return without_chance(cfg)


def with_warp_steps(cfg, batch_size):
    """One after every second of four iterations."""
    stored = cfg.train_dataloader.to_dict()
    stored.pop('sampler')
    stored['dataset']['indices'] = 8
    stored['batch_size'] = batch_size
    hook = dict(
        type='mmood.WarpGradientHook',
        layers=[WARP],
        dataloader=stored,
        interval=2,
    )
    cfg.custom_hooks = [hook]
    return cfg


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

    def build(work_dir, batch_size):
        cfg = with_warp_steps(copy.deepcopy(config), batch_size)
        cfg.work_dir = str(work_dir)
        return cfg

    results = train_on_ranks(build, tmp_path)
    (one,) = results[1]
    names = {f'loss_distill_{term}' for term in TERMS}
    assert len(one['losses']) == 4
    for losses in one['losses']:
        assert names | {'loss_uncertainty', 'loss_deblur'} < set(losses)
        assert min(losses[name] for name in names) > 1e-3
    assert_equal_losses(results, rel=1e-3, abs=1e-4)
    assert_equal_states(results, atol=1e-4, rtol=1e-3)
    moved = one['state'][f'{WARP}.weight'] - before[f'{WARP}.weight']
    assert moved.abs().max() > 1e-3
