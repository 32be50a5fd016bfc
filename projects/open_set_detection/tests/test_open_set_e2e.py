"""Each method of the table trains and tests from its config, tiny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rank_helpers import (
    assert_equal_losses,
    assert_equal_states,
    train_on_ranks,
    without_chance,
)

FOLDER = '../projects/open_set_detection/configs'
NAME = 'faster-rcnn_r18_fpn_shapes.py'
CONTRASTIVE = 'losses.InstanceContrastiveLoss'
OPENDET = ['loss_contrastive', 'loss_unknown']
DFDD = ['loss_uncertainty', 'loss_consistency', 'loss_deblur']
# config: losses that it adds, buffers that it fills
ROWS = {
    NAME: ([], []),
    f'proser_{NAME}': (['loss_placeholder', 'loss_mix'], []),
    f'ore_{NAME}': ([], ['losses.EnergyWeibulls.queues.seen']),
    f'ds_{NAME}': ([], ['bbox_head.fc_cls.masks']),
    f'opendet_{NAME}': (
        OPENDET,
        [f'{CONTRASTIVE}.queues.seen'],
    ),
    f'opendet-dfdd_{NAME}': ([*OPENDET, *DFDD], []),
}
# Five steps, of which every box counts.
OPTIONS = {
    'train_dataloader.dataset.indices': 20,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'unknown_start': 3,
    'warmup': 20,
}


@pytest.fixture
def tiny(tiny_config, shapes):
    """Function: a config of the project, shrunk, on a tiny set."""

    def build(name: str, work_dir: Path, **options) -> Config:
        options = {**OPTIONS, **options}
        return tiny_config(f'{FOLDER}/{name}', shapes, work_dir, **options)

    return build


@pytest.mark.parametrize('name', ROWS, ids=lambda name: name.split('_')[0])
def test_method_trains_and_tests(name, tiny, tmp_path):
    losses, buffers = ROWS[name]
    runner = Runner.from_cfg(tiny(name, tmp_path))
    runner.train()
    history = runner.message_hub.log_scalars
    for loss in losses:
        values = np.array(history[f'train/{loss}'].data[0])
        assert np.isfinite(values).all(), loss
        assert np.abs(values[4:]).max() > 0, loss
    trained = runner.model.state_dict()
    for buffer in buffers:
        assert (trained[f'roi_head.{buffer}'] != 0).any(), buffer

    cfg = tiny(name, tmp_path / 'test')
    cfg.load_from = str(tmp_path / 'epoch_1.pth')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value.nan_to_num(), trained[key].nan_to_num()), key
    for origin in ('near', 'far'):
        row = {
            key.split('/')[-1]: value
            for key, value in metrics.items()
            if key.startswith(f'ood/{origin}/')
        }
        assert {'WI', 'AOSE', 'mAP_K', 'AP_U'} <= set(row)
        shares = [row[key] for key in ('WI', 'mAP_K', 'AP_U')]
        assert all(0 <= share <= 100 for share in shares)
    assert np.isnan(metrics['ood/id/open_set/AP_U'])


class Labels(Hook):
    """Those of all boxes of a validation."""

    def after_val_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        for sample in outputs:
            self.found.append(sample.pred_instances.labels)

    def before_val_epoch(self, runner) -> None:
        self.found = []


def test_a_calibration_does_not_see_what_an_earlier_one_has_rejected(
    tiny, tmp_path
):
    runner = Runner.from_cfg(tiny(f'ds_{NAME}', tmp_path))
    labels = Labels()
    runner.register_hook(labels)
    runner.train()
    # So low that all boxes would be unknown.
    runner.model.roi_head.scores.thresholds['entropy'].fill_(-1e3)
    runner.val_loop.run()
    found = torch.cat(labels.found)
    assert len(found) > 100 and found.max() < 8


def test_training_with_two_processes_equals_one(tiny, tmp_path):
    """OpenDet with DFDD, and ORE's rings; all but what is drawn by chance."""

    def build(work_dir, _):
        cfg = tiny(f'opendet-dfdd_{NAME}', work_dir)
        head = cfg.model.roi_head
        head.scores = ['ore']
        head.losses.append(dict(type='mmood.EnergyWeibulls'))
        return without_chance(cfg)

    results = train_on_ranks(build, tmp_path)
    one, ranks = results[1][0], results[2]
    assert len(one['losses']) == 5
    wanted = {*OPENDET, *DFDD}
    assert all(wanted <= set(losses) for losses in one['losses'])
    assert_equal_losses(results, abs=1e-4)
    assert_equal_states(results, atol=1e-4, rtol=1e-3)
    seen = 'roi_head.losses.EnergyWeibulls.queues.seen'
    for rank in ranks:
        assert torch.equal(rank['state'][seen], one['state'][seen])
    assert one['state'][seen][0] > 20
