"""ROSETTA on two processes does what it does on one."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from helpers import ROOT
from rank_helpers import (
    assert_equal_losses,
    assert_equal_states,
    train_copies,
)
from stage_helpers import increment

PATH = (
    ROOT / 'projects/open_world_detection/configs'
    '/rosetta_faster-rcnn_r18_fpn_shapes-4-2-2.py'
)
QUEUES = 'roi_head.losses.ClassPrototypes.queues.'


@pytest.fixture
def config(shapes, tmp_path) -> Config:
    """An increment on eight images, without chance.

    It starts where the base classes have prototypes and half of the channels.
    """
    options = {
        'gate_noise': 0.0,
        'model.backbone.gate.momentum': 0.5,
        'model.backbone.gate.start': 0.0,
        'model.sparsity': 1.0,
        'model.diversity': 1.0,
        # For all features: ranks see the images in another order.
        'ood.losses.0.size': 300,
        # As many of each image, for losses are means of each rank's RoIs.
        'model.train_cfg.rcnn.sampler.num': 12,
    }

    def begun(model: torch.nn.Module) -> None:
        for gate in model.backbone.gates.values():
            gate.owner.copy_(torch.arange(len(gate.owner)) % 2)
            gate.share.copy_(gate.owner)
        queues = model.roi_head.losses['ClassPrototypes'].queues
        queues.append(0.001 * torch.rand(4, 32), torch.arange(4))

    cfg = increment(PATH, shapes, tmp_path, begun, **options)
    cfg.custom_hooks = [dict(type='mmood.SubModelHook')]
    return cfg


def test_two_processes_equal_one(config, tmp_path):
    before = torch.load(config.load_from, weights_only=True)['state_dict']
    results = train_copies(config, tmp_path)
    (one,) = results[1]
    assert len(one['losses']) == 2
    for losses in one['losses']:
        assert losses['loss_sparsity'] > 0
        assert losses['loss_diversity'] < -0.1
    state = one['state']
    counts = state[f'{QUEUES}seen']
    assert counts[:4].tolist() == [1] * 4 and counts[4:6].min() > 0
    owners = [name for name in state if name.endswith('.owner')]
    assert any((state[name] == 2).any() for name in owners)
    assert_equal_losses(results, rel=1e-3, abs=1e-4)
    assert_equal_states(results, atol=1e-3, rtol=1e-3)
    for rank in results[2]:
        for name in [*owners, f'{QUEUES}seen']:
            assert torch.equal(rank['state'][name], state[name]), name
        rows = before['backbone.gates.layer2_0_bn1.owner'] == 1
        name = 'backbone.layer2.0.conv1.weight'
        assert torch.equal(rank['state'][name][rows], before[name][rows])
