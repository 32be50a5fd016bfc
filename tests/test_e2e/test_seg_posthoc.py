"""Scores of the last layer, from config to table, on a tiny Shapes set."""

import torch
from mmengine.runner import Runner

from helpers import tiny_seg_options
from shared_fixtures import shrink

CONFIG = 'posthoc/fcn_lite0_1k_shapes.py'
SCORES = ['energy', 'react', 'dice', 'ash', 'scale', 'gradnorm', 'gen']


def config(data, folder, **options):
    tiny = {
        key: value
        for key, value in tiny_seg_options(data).items()
        if 'model.backbone' not in key and not key.startswith(('w', 'p', 'o'))
    }
    return shrink(CONFIG, tiny, folder, options)


def test_all_scores_of_the_last_layer(shapes, tmp_path, monkeypatch):
    """Fitted in training, tested from the checkpoint."""
    seen = []

    def fit(logits, labels):
        seen.append(len(labels))
        return 2.0

    monkeypatch.setattr('mmood.scores.temperature.fit_temperature', fit)
    options = {'ood.scores': [*SCORES, 'temperature']}
    Runner.from_cfg(config(shapes, tmp_path, **options)).train()
    assert seen == [10_000]  # a sample of the validation images' pixels

    cfg = config(shapes, tmp_path / 'test', **options)
    cfg.load_from = str(tmp_path / 'iter_4.pth')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    scores = runner.model.scores
    assert scores.fitted['temperature'].temperature == 2
    assert runner.model.probe.classifier
    for name in scores.names:
        for origin in ('near', 'far'):
            assert 0 <= metrics[f'ood/{origin}/{name}/AUROC'] <= 1
        assert torch.isfinite(scores.thresholds[name])
