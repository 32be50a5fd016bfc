"""Two CPU processes do what one does on the same global batch."""

import re
import sys

import pytest
import torch
from mmengine.runner import Runner

from helpers import assert_equal_tables, run, run_script, tiny_options
from processes import free_port
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
        'ood.outliers.queue_size': 4,
        'ood.outliers.patience': 0,
        'ood.outliers.start_share': None,
        'ood.outliers.start_iter': 4,
        'ood.losses': [
            dict(type='mmood.LogisticUncertaintyLoss', loss_weight=0.1),
            dict(type='mmood.SIRENLoss', channels=8),
        ],
    }

    def build(work_dir, _):
        return without_chance(tiny_config(VOS, shapes, work_dir, **more))

    results = train_on_ranks(build, tmp_path)
    first, second = (rank['state'] for rank in results[2])
    shared = [
        'outliers.queues.memory',
        'outliers.queues.seen',
        'outliers.waited',
        'losses.SIRENLoss.prototypes',
    ]
    for key in (f'roi_head.{name}' for name in shared):
        torch.testing.assert_close(first[key], second[key], msg=key)
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


def call_of(script: str, folder, *arguments: object) -> list[str]:
    """Arguments that a script gives to python."""
    python = folder / 'python'
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    call = run(f'tools/{script}.sh', *arguments, PYTHON=str(python))
    return call.splitlines()


def test_dist_scripts_launch_the_tools_alike(tmp_path):
    """So that one launch, of the next test, stands for both."""
    train = call_of('dist_train', tmp_path, 'CONFIG', 2, '--work-dir', 'a b')
    files = ('CONFIG', 'CHECKPOINT')
    test = call_of('dist_test', tmp_path, *files, 2, '--work-dir', 'a b')
    end = ['--launcher', 'pytorch', '--work-dir', 'a b']
    assert train[-6:] == ['tools/train.py', 'CONFIG', *end]
    assert test[-7:] == ['tools/test.py', *files, *end]
    assert train[:-6] == test[:-7]
    assert train[:2] == ['-m', 'torch.distributed.run']


def test_dist_scripts_run_on_a_cpu_and_agree_with_one_process(
    shapes, tiny_config, tmp_path
):
    more = {'test_evaluator.score_threshold': 0.05}
    options = [f'{k}={v}' for k, v in {**tiny_options(shapes), **more}.items()]
    config = f'configs/{DFDD}'
    rest = ('--work-dir', tmp_path, '--cfg-options', *options)
    env = dict(PYTHON=sys.executable, PORT=str(free_port()))
    run('tools/dist_train.sh', config, 2, *rest, **env)
    checkpoint = tmp_path / 'epoch_1.pth'
    test = ('tools/test.py', config, checkpoint)
    two = run_script(*test, '--launcher', 'pytorch', *rest, ranks=2)
    one = run_script(*test, *rest)
    assert_equal_tables(table(two), table(one), abs=0.1)

    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert torch.isfinite(state['roi_head.scores.thresholds.energy'])
    cfg = tiny_config(DFDD, shapes, tmp_path / 'again')
    cfg.load_from = str(checkpoint)
    metrics = Runner.from_cfg(cfg).val()
    assert metrics['ood/ood_threshold'] == pytest.approx(
        state['roi_head.scores.thresholds.energy'].item(), abs=1e-4
    )
