"""ROSETTA through all stages of a tiny Shapes set, by run.py's commands."""

from __future__ import annotations

import shutil

import pytest
import torch
from mmdet.registry import MODELS

from helpers import ROOT
from mmood.hooks import FiniteLossHook
from stage_helpers import (
    carry_out,
    metrics_of,
    plan,
    run_in_this_process,
)
from stage_helpers import weights_of as weights

PATH = (
    ROOT / 'projects/open_world_detection/configs'
    '/rosetta_faster-rcnn_r18_fpn_shapes-4-2-2.py'
)
# Gates follow at once, and are not drawn by chance.
OPTIONS = {
    'gate_noise': 0.0,
    'model.backbone.gate.momentum': 0.5,
    'model.sparsity': 1.0,
    'optim_wrapper.optimizer.lr': 0.1,
}
QUEUES = 'roi_head.losses.ClassPrototypes.queues.'


@pytest.fixture(scope='module')
def finished(shapes, tmp_path_factory):
    """All stages, uninterrupted."""
    out = tmp_path_factory.mktemp('rosetta')
    trainings = plan(PATH, shapes, out, **OPTIONS)
    with run_in_this_process() as here:
        carry_out(trainings, here)
    return trainings


def test_it_never_says_unknown(finished):
    metrics = metrics_of(finished)
    assert list(metrics) == [
        'step_0', 'step_1', 'step_1_finetune', 'step_2', 'step_2_finetune'
    ]  # fmt: skip
    for stage, values in metrics.items():
        assert 0 <= values['AP50'] <= 100
        if not stage.startswith('step_2'):
            assert values['id/open_set/R_U'] == 0
