"""Two CPU processes do what one does on the same global batch."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers import (
    DOOD,
    ROOT,
    assert_equal_tables,
    content_noise,
    load_weights,
    run_here,
    run_script,
    shell_options,
    tiny_seg_options,
)
from mmood.losses import DenoisingLoss

SCRIPT = Path(__file__).with_name('train_seg_cpu_ranks.py')


def config(build, data, segmentor, folder, ranks):
    """Six images per step, all of whose features are in every batch.

    Scores are fitted on 15 images, an odd number, in batches of 4.
    """
    more = {
        'train_dataloader.batch_size': 6 // ranks,
        'max_fit_images': 15,
    }
    cfg = build(DOOD, data, folder / f'work{ranks}', **more)
    cfg.model.scores += [
        dict(type='mahalanobis', shrinkage=0.1),
        dict(type='knn', k=3, bank_size=50),
    ]
    cfg.fit_dataloader.batch_size = 4
    cfg.val_dataloader.dataset.indices = 3
    cfg.load_from = str(segmentor)
    cfg.launcher = 'pytorch' if ranks > 1 else 'none'
    return cfg


class Record(Hook):
    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.losses.append(float(outputs['loss_denoise']))


def test_training_with_two_processes_equals_one(
    shapes, segmentor, tiny_seg_config, tmp_path, monkeypatch
):
    arguments = (tiny_seg_config, shapes, segmentor, tmp_path)
    path, out = tmp_path / 'config.py', tmp_path / 'result'
    config(*arguments, 2).dump(path)
    run_script(SCRIPT, path, out, ranks=2)
    two = [torch.load(f'{out}.{n}', weights_only=True) for n in range(2)]

    monkeypatch.setattr(DenoisingLoss, '_perturbation', content_noise)
    runner, record = Runner.from_cfg(config(*arguments, 1)), Record()
    runner.register_hook(record)
    runner.train()
    assert len(record.losses) == 4
    for step, expected in enumerate(record.losses):
        parts = [rank['losses'][step]['loss_denoise'] for rank in two]
        assert parts[0] != parts[1]
        assert sum(parts) / 2 == pytest.approx(expected, abs=1e-4)
    frozen = load_weights(segmentor)
    for name, value in runner.model.state_dict().items():
        for rank in two:
            found = rank['state'][name]
            if name.startswith(('backbone.', 'decode_head.')):
                assert torch.equal(found, frozen[name]), name
            torch.testing.assert_close(found, value, atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(found, two[0]['state'][name])


def table(output):
    rows = re.findall(r'^\| (?:near|far) .*$', output, flags=re.M)
    assert len(rows) == 6 + 2  # three scores of two sets, and components
    return rows


def test_dist_test_agrees_with_one_process(
    dood, shapes, tmp_path, monkeypatch, capsys
):
    """On seven images, with folds, components and files."""
    more = {
        'test_dataloader.batch_size': 1,
        'test_dataloader.dataset.datasets.1.indices': 3,
        'test_evaluator.resample': True,
        'test_evaluator.components.min_prediction_size': 4,
        'test_evaluator.components.min_object_size': 4,
    }
    options = shell_options({**tiny_seg_options(shapes), **more})
    files = (ROOT / 'configs' / DOOD, dood[0])
    rest = ('--work-dir', tmp_path, *options, '--out-dir')
    run_here(monkeypatch, 'test', *files, *rest, tmp_path / '1')
    one = capsys.readouterr().out
    rest = ('--launcher', 'pytorch', *rest, tmp_path / '2')
    two = run_script('tools/test.py', *files, *rest, ranks=2)
    assert_equal_tables(table(two), table(one), abs=0.02)
    one, two = (
        json.loads((tmp_path / f'{ranks}/metrics.json').read_text())
        for ranks in (1, 2)
    )
    assert len(one) == 2 * (3 * 12 + 16)
    assert one == pytest.approx(two, abs=1e-4)
