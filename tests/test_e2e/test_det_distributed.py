"""Two CPU processes do what one does on the same global batch."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, run, tiny_options

DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
SCRIPT = Path(__file__).with_name('train_cpu_ranks.py')


def write_config(build, data: Path, folder: Path, ranks: int) -> Path:
    """No flip, no batch statistics, fixed sampling, 4 images per step."""
    cfg = build(DFDD, data, folder / f'work{ranks}')
    cfg.model.backbone.norm_eval = True
    for stage in (cfg.model.train_cfg.rpn, cfg.model.train_cfg.rcnn):
        stage.sampler.type = 'FirstSampler'
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [
        t for t in pipeline if t.type != 'mmdet.RandomFlip'
    ]
    del cfg.train_dataloader['batch_sampler']
    cfg.train_dataloader.batch_size = 4 // ranks
    cfg.custom_hooks = []
    cfg.launcher = 'pytorch' if ranks > 1 else 'none'
    path = folder / f'config{ranks}.py'
    cfg.dump(path)
    return path


def test_training_with_two_processes_equals_one(shapes, tiny_config, tmp_path):
    results = {}
    for ranks in (1, 2):
        config = write_config(tiny_config, shapes, tmp_path, ranks)
        out = tmp_path / f'result{ranks}'
        launch = [sys.executable]
        if ranks > 1:
            launch += ['-m', 'torch.distributed.run', '--standalone']
            launch += [f'--nproc_per_node={ranks}']
        run(*launch, SCRIPT, config, out, OMP_NUM_THREADS='1')
        results[ranks] = [
            torch.load(f'{out}.{rank}', weights_only=True)
            for rank in range(ranks)
        ]
    one = results[1][0]
    assert len(one['losses']) == 9
    for step, expected in enumerate(one['losses']):
        assert {'loss_deblur', 'loss_uncertainty', 'loss_consistency'} <= (
            set(expected)
        )
        for name, value in expected.items():
            ranks = [r['losses'][step][name] for r in results[2]]
            assert sum(ranks) / 2 == pytest.approx(value, abs=1e-4), name
    for name, value in one['state'].items():
        if value.is_floating_point():
            for rank in results[2]:
                torch.testing.assert_close(
                    rank['state'][name], value, atol=1e-4, rtol=1e-3,
                    equal_nan=True,
                )  # fmt: skip


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
