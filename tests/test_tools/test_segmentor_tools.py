"""Tools on a plain segmentor with scores that have to be fitted."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from helpers import SEGMENTOR, load_weights, run_here
from mmood.registry import MODELS

SCORES = [
    dict(type='compound', of=['energy', 'mahalanobis']),
    'energy',
    'mahalanobis',
    'knn',
]
NAMES = ('compound', 'energy', 'mahalanobis', 'knn')


@pytest.fixture
def plain(shapes, tmp_path, tiny_seg_config):
    """A config, and a checkpoint of a segmentor that knows no scores."""
    more = {'ood.scores': SCORES}
    cfg = tiny_seg_config(SEGMENTOR, shapes, tmp_path / 'work', **more)
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    stock = {k: v for k, v in cfg.model.items() if k != 'scores'}
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(dict(stock, type='mmseg.EncoderDecoder'))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'plain.pth')
    return tmp_path / 'config.py', tmp_path / 'plain.pth'


def test_fit_then_test_then_draw(plain, shapes, tmp_path, monkeypatch, capsys):
    config, checkpoint = plain
    work = ('--work-dir', tmp_path / 'work')
    run_here(monkeypatch, 'fit_scores', config, checkpoint, *work)
    output = capsys.readouterr()
    fitted = tmp_path / 'plain_fitted.pth'
    assert f'fitted checkpoint: {fitted}' in output.out
    assert 'missing keys' not in output.out + output.err
    state = load_weights(fitted)
    thresholds = {n: state[f'scores.thresholds.{n}'].item() for n in NAMES}
    assert np.isfinite(list(thresholds.values())).all()
    bare = load_weights(checkpoint)
    assert all(torch.equal(bare[key], state[key]) for key in bare)

    out = ('--out-dir', tmp_path / 'ood')
    run_here(monkeypatch, 'test', config, fitted, *work, *out)
    metrics = json.loads((tmp_path / 'ood/metrics.json').read_text())
    for name in NAMES:
        assert 0 < metrics[f'near/{name}/AUROC'] < 1

    pictures = (shapes / 'near/images', config, fitted, '--limit', 2)
    more = ('--score', 'knn', '--out-dir', tmp_path / 'drawn')
    run_here(monkeypatch, 'image_demo', *pictures, *more)
    said = json.loads((tmp_path / 'drawn/pred/near_00001.json').read_text())
    assert said['score'] == 'knn'
    assert said['ood_threshold'] == pytest.approx(thresholds['knn'])


@pytest.mark.parametrize('tool', ['test', 'image_demo'])
def test_a_score_that_is_not_fitted(plain, shapes, monkeypatch, tool):
    rest = [*plain]
    if tool == 'image_demo':
        rest.insert(0, shapes / 'near/images')
    with pytest.raises(SystemExit, match='^error: .* is not fitted: run too'):
        run_here(monkeypatch, tool, *rest)


def test_diagnose_scores_is_for_detectors(plain, monkeypatch):
    with pytest.raises(SystemExit, match='no model.roi_head: .*test.py'):
        run_here(monkeypatch, 'analysis_tools/diagnose_scores', *plain)
