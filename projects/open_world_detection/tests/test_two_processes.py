"""ORE and OW-DETR on two processes do what they do on one."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from helpers import ROOT, run_script
from rank_helpers import (
    assert_equal_losses,
    assert_equal_states,
    train_copies,
)
from stage_helpers import (
    TINY_DETR,
    carry_out,
    increment,
    plan,
    run_in_this_process,
    weights_of,
)

CONFIGS = ROOT / 'projects/open_world_detection/configs'
PATH = CONFIGS / 'ore_faster-rcnn_r18_fpn_shapes-4-2-2.py'
CLUSTERING = 'roi_head.losses.ContrastiveClustering.'
ENERGIES = 'roi_head.losses.EnergyWeibulls.queues.'


@pytest.fixture
def config(shapes, tmp_path) -> Config:
    """An increment on eight images, without chance."""
    options = {
        'clustering.start': 0,
        'clustering.interval': 1,
        # For all features: ranks see the images in another order.
        'clustering.size': 300,
        # As many of each image, for losses are means of each rank's RoIs.
        'model.train_cfg.rcnn.sampler.num': 12,
    }
    return increment(PATH, shapes, tmp_path, **options)


def test_two_processes_equal_one(config, tmp_path):
    results = train_copies(config, tmp_path)
    (one,) = results[1]
    assert len(one['losses']) == 2
    assert all(losses['loss_clustering'] > 0 for losses in one['losses'])
    assert one['state'][f'{CLUSTERING}made'][[4, 5, 8]].tolist() == [1, 1, 1]
    assert one['state'][f'{ENERGIES}seen'].min() > 0
    assert one['state'][f'{ENERGIES}seen'][1] == 8
    assert_equal_losses(results, rel=1e-3, abs=1e-4)
    assert_equal_states(results, atol=1e-3, rtol=1e-3)
    for rank in results[2]:
        for name, value in one['state'].items():
            if name.endswith(('made', 'seen')):
                assert torch.equal(rank['state'][name], value), name


def test_two_processes_of_owdetr_equal_one(shapes, tmp_path):
    """Without dropout; means are of the objects of all ranks."""
    drops = (
        ('encoder', 'self_attn_cfg.dropout'),
        ('encoder', 'ffn_cfg.ffn_drop'),
        ('decoder', 'self_attn_cfg.dropout'),
        ('decoder', 'cross_attn_cfg.dropout'),
        ('decoder', 'ffn_cfg.ffn_drop'),
    )
    options = {f'model.{part}.layer_cfg.{key}': 0.0 for part, key in drops}
    options.update(TINY_DETR)
    path = CONFIGS / 'owdetr_deformable-detr_r18_shapes-4-2-2.py'
    config = increment(path, shapes, tmp_path, **options)
    results = train_copies(config, tmp_path)
    (one,) = results[1]
    assert len(one['losses']) == 2
    assert all(losses['loss_objectness'] > 0 for losses in one['losses'])
    assert_equal_losses(results, rel=1e-3, abs=1e-4)
    states = [one['state'], *(rank['state'] for rank in results[2])]
    counts = [state.pop('bbox_head.pseudo.activity.count') for state in states]
    assert counts[0] > 0 and counts[0] == sum(counts[1:])
    assert_equal_states(results, atol=1e-3, rtol=1e-3)


def test_the_leaked_energies_are_those_of_one(shapes, tmp_path):
    """Of weights that stay as they are drawn."""
    options = {
        'leak': True,
        'optim_wrapper.optimizer.lr': 0.0,
        'model.backbone.norm_eval': True,
    }
    found = []
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        trainings = plan(PATH, shapes, out, ['step_0'], ranks, **options)
        if ranks == 1:
            with run_in_this_process() as here:
                carry_out(trainings, here)
        else:
            _, command = next(trainings[0].steps())
            run_script(*command[5:], ranks=2)
        state = weights_of(trainings[0])
        found.append(
            (state[f'{ENERGIES}seen'], state[f'{ENERGIES}memory'].sort(1)[0])
        )
    (seen, memory), other = found
    assert seen.min() > 10 and torch.equal(seen, other[0])
    torch.testing.assert_close(memory, other[1], atol=1e-4, rtol=1e-4)
