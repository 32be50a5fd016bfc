"""Two CPU processes do what one does on the same global batch."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from helpers import DOOD, run, run_tool, shell_options, tiny_seg_options

pytestmark = pytest.mark.usefixtures('plain_dumps')
SCRIPT = Path(__file__).with_name('train_seg_cpu_ranks.py')
FITTED = ('ood_head.score_mean', 'ood_head.score_std', 'ood_threshold')


def write_config(build, data, segmentor, folder, ranks):
    """Six images per step, all of whose features are in every batch.

    Statistics of 15 images, an odd number, in batches of 4.
    """
    more = {
        'train_dataloader.batch_size': 6 // ranks,
        'custom_hooks.0.max_images': 15,
        'custom_hooks.0.dataloader.batch_size': 4,
        'val_dataloader.dataset.indices': 3,
    }
    cfg = build(DOOD, data, folder / f'work{ranks}', **more)
    cfg.load_from = str(segmentor)
    cfg.launcher = 'pytorch' if ranks > 1 else 'none'
    path = folder / f'config{ranks}.py'
    cfg.dump(path)
    return path


def test_training_with_two_processes_equals_one(
    shapes, segmentor, tiny_seg_config, tmp_path
):
    results = {}
    for ranks in (1, 2):
        config = write_config(
            tiny_seg_config, shapes, segmentor, tmp_path, ranks
        )
        out = tmp_path / f'result{ranks}'
        launch = [sys.executable]
        if ranks > 1:
            launch += ['-m', 'torch.distributed.run', '--standalone']
            launch += [f'--nproc_per_node={ranks}']
        run(*launch, SCRIPT, config, out)
        results[ranks] = [
            torch.load(f'{out}.{rank}', weights_only=True)
            for rank in range(ranks)
        ]
    one, two = results[1][0], results[2]
    assert len(one['losses']) == 4
    for step, expected in enumerate(one['losses']):
        parts = [rank['losses'][step]['loss_denoise'] for rank in two]
        assert parts[0] != parts[1]
        mean = sum(parts) / 2
        assert mean == pytest.approx(expected['loss_denoise'], abs=1e-5)
    for name, value in one['state'].items():
        for rank in two:
            found = rank['state'][name]
            if 'denoiser' in name or name in FITTED:
                torch.testing.assert_close(found, value, atol=1e-4, rtol=1e-3)
            else:  # the range of the features, and the frozen segmentor
                assert torch.equal(found, value), name
            assert torch.equal(found, two[0]['state'][name])


def table(output):
    rows = re.findall(r'^\| (?:near|far) .*$', output, flags=re.M)
    assert len(rows) == 12 + 2  # six scores of two sets, and components
    return rows


def test_dist_test_agrees_with_one_process(dood, shapes, tmp_path):
    """On seven images, with folds, components and files, bit for bit."""
    more = {
        'test_dataloader.batch_size': 1,
        'test_dataloader.dataset.datasets.1.indices': 3,
        'test_evaluator.resample': True,
        'test_evaluator.components.min_prediction_size': 4,
        'test_evaluator.components.min_object_size': 4,
    }
    rest = (dood[0], '--work-dir', tmp_path, '--out-dir')
    one = run_tool('test', DOOD, *rest, tmp_path / '1', data=shapes, **more)
    options = shell_options({**tiny_seg_options(shapes), **more})
    command = ('tools/dist_test.sh', f'configs/{DOOD}', dood[0], 2)
    two = run(
        *(*command, *rest[1:], tmp_path / '2', *options),
        PYTHON=sys.executable,
        PORT='29613',
    )
    assert table(two) == table(one)
    metrics = [
        json.loads((tmp_path / f'{ranks}/metrics.json').read_text())
        for ranks in (1, 2)
    ]
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) == 2 * (6 * 12 + 3)
    assert 'near/compound/sIoU' in metrics[0]
