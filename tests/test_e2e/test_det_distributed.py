"""Two CPU processes do what one does on the same global batch."""

import re
import sys

import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, run, tiny_options
from rank_helpers import (
    assert_equal_losses,
    assert_equal_states,
    train_on_ranks,
    without_chance,
)

DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
VOS = 'vos/vos_faster-rcnn_r18_fpn_shapes.py'


def test_queues_and_prototypes_are_those_of_all_ranks(
    shapes, tiny_config, tmp_path
):
    """VOS and SIREN in one head; VOS starts in the middle."""
    more = {
        'model.roi_head.outliers.queue_size': 4,
        'model.roi_head.outliers.patience': 0,
        'model.roi_head.outlier_start_share': None,
        'model.roi_head.outlier_start_iter': 4,
        'model.roi_head.auxiliary': dict(type='mmood.SIRENLoss', channels=8),
    }

    def build(work_dir, _):
        return without_chance(tiny_config(VOS, shapes, work_dir, **more))

    results = train_on_ranks(build, tmp_path)
    first, second = (rank['state'] for rank in results[2])
    shared = [
        'outliers.queues.memory',
        'outliers.queues.seen',
        'outliers.waited',
        'auxiliary.prototypes',
    ]
    for key in (f'roi_head.{name}' for name in shared):
        assert torch.equal(first[key], second[key]), key
        assert first[key].any()
    one = results[1][0]
    key = 'roi_head.outliers.queues.seen'
    assert torch.equal(one['state'][key], first[key])
    for step, expected in enumerate(one['losses']):
        ranks = [r['losses'][step] for r in results[2]]
        if step < 4:  # no random outliers yet
            mean = sum(rank['loss_vmf'] for rank in ranks) / 2
            assert mean == pytest.approx(expected['loss_vmf'], abs=1e-4)
        for rank in (expected, *ranks):
            assert (rank['loss_uncertainty'] > 0) == (step >= 4)


def test_training_with_two_processes_equals_one(shapes, tiny_config, tmp_path):
    def build(work_dir, _):
        return without_chance(tiny_config(DFDD, shapes, work_dir))

    results = train_on_ranks(build, tmp_path)
    one = results[1][0]
    assert len(one['losses']) == 9
    wanted = {'loss_deblur', 'loss_uncertainty', 'loss_consistency'}
    assert all(wanted <= set(losses) for losses in one['losses'])
    assert_equal_losses(results, abs=1e-4)
    assert_equal_states(results, atol=1e-4, rtol=1e-3)


def table(output: str) -> list:
    rows = re.findall(r'^\| (?:near|far) .*$', output, flags=re.M)
    assert len(rows) == 4
    return rows


def test_dist_scripts_run_on_a_cpu_and_agree_with_one_process(
    shapes, tiny_config, tmp_path
):
    more = {'test_evaluator.score_threshold': 0.05}
    options = [f'{k}={v}' for k, v in {**tiny_options(shapes), **more}.items()]
    config = f'configs/{DFDD}'
    rest = ('--work-dir', tmp_path, '--cfg-options', *options)
    env = dict(PYTHON=sys.executable, PORT='29611', OMP_NUM_THREADS='1')
    run('tools/dist_train.sh', config, 2, *rest, **env)
    checkpoint = tmp_path / 'epoch_1.pth'
    two = run('tools/dist_test.sh', config, checkpoint, 2, *rest, **env)
    one = run(
        sys.executable, ROOT / 'tools/test.py', config, checkpoint, *rest
    )
    assert table(two) == table(one)

    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert torch.isfinite(state['roi_head.ood_threshold'])
    cfg = tiny_config(DFDD, shapes, tmp_path / 'again')
    cfg.load_from = str(checkpoint)
    metrics = Runner.from_cfg(cfg).val()
    assert metrics['ood/ood_threshold'] == pytest.approx(
        state['roi_head.ood_threshold'].item(), abs=1e-4
    )
