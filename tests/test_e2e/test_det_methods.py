"""Each row of the table trains and tests from its config, tiny."""

import re

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, run_script, tiny_options

NAME = 'faster-rcnn_r18_fpn_shapes.py'
POSTHOC = f'posthoc/{NAME}'
# A nearest neighbour is all that so little data has.
COMPOUND = dict(type='compound', of=['energy', 'knn'])
KNN = dict(type='knn', k=1)
ALL = ['energy', 'msp', 'max_logit', 'entropy', 'odin', 'mahalanobis', 'gram']
FITTED = ['rmds', 'she', 'residual', 'fdbd', 'kl_matching']
NNGUIDE = dict(type='nnguide', k=1)
CHANGED = ['react', 'ash', 'scale', 'dice', 'gradnorm', 'gen']
# config: (options, losses it adds, scores it reports)
ROWS = {
    POSTHOC: (
        {'ood.scores': [*ALL, KNN, COMPOUND, *FITTED, NNGUIDE, *CHANGED]},
        [],
        [*ALL, 'knn', 'compound', *FITTED, 'nnguide', *CHANGED],
    ),
    f'vos/vos_{NAME}': (
        {'ood.outliers.queue_size': 2, 'ood.outliers.start_share': 1 / 3},
        ['loss_uncertainty'],
        ['energy', 'msp'],
    ),
    f'vos/vos-blur-aug_{NAME}': (
        {'ood.outliers.queue_size': 2, 'ood.outliers.start_share': 1 / 3},
        ['loss_uncertainty'],
        ['energy', 'msp'],
    ),
    f'ffs/ffs_{NAME}': (
        {'ood.outliers.start_share': 1 / 3},
        ['loss_uncertainty', 'loss_flow'],
        ['energy', 'msp'],
    ),
    f'gan/gan_{NAME}': (
        {},
        ['loss_uncertainty', 'loss_gan'],
        ['energy', 'msp'],
    ),
    f'siren/siren_{NAME}': (
        {'ood.scores.1.k': 1},
        ['loss_vmf'],
        ['vmf', 'siren_knn', 'energy'],
    ),
    f'godin/godin_{NAME}': ({}, [], ['godin', 'msp']),
    f'csi/csi_{NAME}': (
        {},
        ['loss_csi', 'loss_csi_shift'],
        ['csi', 'energy'],
    ),
    f'dfdd/ddpm_{NAME}': (
        {},
        ['loss_uncertainty', 'loss_consistency', 'loss_deblur'],
        ['energy', 'msp'],
    ),
    f'dfdd/dfdd_{NAME}': (
        {},
        ['loss_uncertainty', 'loss_consistency', 'loss_deblur'],
        ['energy', 'msp'],
    ),
}
# Of so little training every box counts.
TINY = {
    'model.test_cfg.rcnn.score_thr': 0.0,
    'val_evaluator.score_threshold': 0.0,
    'test_evaluator.score_threshold': 0.0,
}


def test_every_config_of_the_table_is_here():
    table = (ROOT / 'configs/tables/table1_shapes.yaml').read_text()
    assert set(re.findall(r'configs/(\S+\.py)', table)) == set(ROWS)


@pytest.mark.parametrize('name', ROWS, ids=lambda name: name.split('_')[0])
def test_row_trains_and_tests(name, shapes, tiny_config, tmp_path):
    options, losses, scores = ROWS[name]
    cfg = tiny_config(name, shapes, tmp_path, **TINY, **options)
    runner = Runner.from_cfg(cfg)
    runner.train()
    history = runner.message_hub.log_scalars
    for loss in losses:
        values = np.array(history[f'train/{loss}'].data[0])
        assert np.isfinite(values).all(), loss
        assert np.abs(values[4:]).max() > 0, loss
    trained = runner.model.state_dict()

    cfg = tiny_config(name, shapes, tmp_path / 'test', **TINY, **options)
    cfg.load_from = str(tmp_path / 'epoch_1.pth')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value.nan_to_num(), trained[key].nan_to_num()), key
    for score in scores:
        for origin in ('near', 'far'):
            assert 0 <= metrics[f'ood/{origin}/{score}/AUROC'] <= 1
    names = {key.split('/')[2] for key in metrics if key.count('/') == 3}
    assert names == set(scores)


def test_a_temperature_is_fitted_on_the_validation_set(
    shapes, tiny_config, tmp_path, monkeypatch
):
    """On boxes of a model that knows little any temperature may do."""
    seen = []

    def fit(logits, labels):
        seen.append((logits.argmax(1) == labels).double().mean())
        return 2.0

    monkeypatch.setattr('mmood.scores.temperature.fit_temperature', fit)
    options = {**TINY, 'ood.scores': ['temperature', 'energy']}
    runner = Runner.from_cfg(tiny_config(POSTHOC, shapes, tmp_path, **options))
    runner.train()
    (share,) = seen
    assert 0 <= share < 1  # boxes of wrong classes are among them
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    key = 'roi_head.scores.temperature.temperature'
    assert state['state_dict'][key] == 2


def test_fit_tool_with_two_processes_equals_one(shapes, tiny_config, tmp_path):
    """From a checkpoint that was trained without these scores."""
    more = {'ood.scores': ['energy']}
    cfg = tiny_config(POSTHOC, shapes, tmp_path, **TINY, **more)
    Runner.from_cfg(cfg).train()
    scores = (
        "[dict(type='knn', k=1), 'gram', "
        "dict(type='mahalanobis', shrinkage=0.1)]"
    )
    options = {**tiny_options(shapes), **TINY}
    options = [f'{key}={value}' for key, value in options.items()]
    path = tmp_path / 'list.py'
    path.write_text(
        f"_base_ = '{ROOT}/configs/{POSTHOC}'\nood = dict(scores={scores})\n"
    )
    states = {}
    for ranks in (1, 2):
        launcher = ('--launcher', 'pytorch' if ranks > 1 else 'none')
        out = tmp_path / f'fitted_{ranks}.pth'
        run_script(
            'tools/fit_scores.py', path, tmp_path / 'epoch_1.pth',
            '--out', out, '--work-dir', tmp_path / 'work', *launcher,
            '--cfg-options', *options, ranks=ranks if ranks > 1 else 0,
        )  # fmt: skip
        states[ranks] = torch.load(out, weights_only=True)['state_dict']
    fitted = [k for k in states[1] if 'roi_head.scores.' in k]
    assert len(fitted) >= 10
    assert len(states[1]['roi_head.scores.knn.bank']) > 5
    for key in states[1]:
        torch.testing.assert_close(
            states[2][key], states[1][key], atol=1e-4, rtol=1e-4,
            equal_nan=True,
        )  # fmt: skip
    assert all(states[1][k] for k in fitted if k.endswith('is_fitted'))
