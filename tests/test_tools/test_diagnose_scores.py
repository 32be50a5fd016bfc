"""Medians per group against the scores that a test dumps."""

import re

import numpy as np
from mmengine.runner import Runner

from helpers import run_here

POSTHOC = 'posthoc/faster-rcnn_r18_fpn_shapes.py'
OPTIONS = {
    'ood.scores': ['energy', dict(type='mahalanobis', shrinkage=0.1)],
    'model.test_cfg.rcnn.score_thr': 0.0,
    'val_evaluator.score_threshold': 0.1,
}


def test_groups_are_those_of_the_test(
    shapes, tiny_config, tmp_path, monkeypatch, capsys
):
    cfg = tiny_config(POSTHOC, shapes, tmp_path, **OPTIONS)
    runner = Runner.from_cfg(cfg)
    runner.train()
    checkpoint = str(tmp_path / 'epoch_1.pth')

    cfg = tiny_config(POSTHOC, shapes, tmp_path / 'test', **OPTIONS)
    cfg.load_from = checkpoint
    cfg.test_evaluator.update(
        out_dir=str(tmp_path / 'ood'), score_threshold=0.1
    )
    Runner.from_cfg(cfg).test()
    path = tmp_path / 'config.py'
    cfg.dump(path)
    capsys.readouterr()
    rest = (path, checkpoint, '--work-dir', tmp_path / 'diagnosis')
    run_here(monkeypatch, 'analysis_tools/diagnose_scores', *rest)
    table = re.findall(r'^\| (id, \w+|near|far) +\|(.*)\|$',
                       capsys.readouterr().out, re.M)  # fmt: skip
    rows = {name: [float(c) for c in rest.split('|')] for name, rest in table}
    assert set(rows) == {'id, right', 'id, wrong', 'near', 'far'}
    for column, score in enumerate(('energy', 'mahalanobis'), start=2):
        dumped = np.load(tmp_path / f'ood/ood_scores_{score}.npz')
        both = rows['id, right'][0] + rows['id, wrong'][0]
        assert both == len(dumped['id'])
        for name in ('near', 'far'):
            values = dumped[name]
            assert rows[name][0] == len(values) > 0
            np.testing.assert_allclose(
                rows[name][column], np.median(values), rtol=1e-3
            )
            assert rows[name][1] > 0
