"""Mask scores from config to table, on a tiny Shapes set."""

import pytest
import torch
from mmengine.runner import Runner

from helpers import load_weights, run_script, tiny_seg_options
from shared_fixtures import shrink

CONFIG = 'mask2former/mask2former_lite0_1k_shapes.py'
SCORES = ('rba', 'mask2anomaly', 'eam', 'maskomaly', 'max_logit', 'msp')
SCORES += ('energy', 'entropy')
# After a few steps no query finds anything.
EASY = {
    'ood.scores.3': dict(type='maskomaly', mask_threshold=0.3, min_iou=0.01)
}


def config(data, folder, **options):
    """Four steps; no mask, so no score, is any good."""
    tiny = {
        key: value
        for key, value in tiny_seg_options(data).items()
        if 'model.backbone' not in key and not key.startswith(('w', 'p', 'o'))
    }
    return shrink(CONFIG, {**tiny, **EASY}, folder, options)


@pytest.fixture(scope='module')
def trained(shapes, tmp_path_factory):
    """Trained for four steps; the work folder."""
    folder = tmp_path_factory.mktemp('masks')
    Runner.from_cfg(config(shapes, folder)).train()
    return folder


def test_queries_are_fitted_in_training(trained):
    state = load_weights(trained / 'iter_4.pth')
    before = load_weights(trained / 'iter_2.pth')
    assert state['scores.maskomaly.is_fitted']
    assert not before['scores.maskomaly.is_fitted']
    mean = state['scores.maskomaly.mean_iou']
    kept = state['scores.maskomaly.kept']
    assert mean.shape == (30,) and mean.dtype == torch.float64
    assert kept.tolist() == (mean >= 0.01).nonzero()[:, 0].tolist()
    for name in SCORES:
        assert torch.isfinite(state[f'scores.thresholds.{name}'])


def test_a_test_takes_what_the_checkpoint_has(trained, shapes, tmp_path):
    cfg = config(shapes, tmp_path)
    cfg.load_from = str(trained / 'iter_4.pth')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    state = load_weights(trained / 'iter_4.pth')
    score = runner.model.scores.fitted['maskomaly']
    assert torch.equal(score.kept, state['scores.maskomaly.kept'])
    for name in SCORES:
        for origin in ('near', 'far'):
            assert 0 <= metrics[f'ood/{origin}/{name}/AUROC'] <= 1


def test_a_resumed_training_ends_alike(trained, shapes, tmp_path):
    """From its second iteration, which has no fit yet."""
    cfg = config(shapes, tmp_path)
    cfg.load_from, cfg.resume = str(trained / 'iter_2.pth'), True
    Runner.from_cfg(cfg).train()
    state = load_weights(tmp_path / 'iter_4.pth')
    assert state['scores.maskomaly.is_fitted']
    assert len(state['scores.maskomaly.mean_iou']) == 30


def test_two_processes_fit_the_same_queries(trained, shapes, tmp_path):
    """Of one checkpoint, whose images have the same objects."""
    cfg = config(shapes, tmp_path)
    cfg.outlier_dataloader.batch_size = 2
    path = tmp_path / 'config.py'
    cfg.dump(path)
    found = []
    for ranks in (0, 2):
        out = tmp_path / f'{ranks}.pth'
        more = ('--launcher', 'pytorch') if ranks else ()
        run_script('tools/fit_scores.py', path, trained / 'iter_4.pth',
                   '--out', out, *more, ranks=ranks)  # fmt: skip
        found.append(load_weights(out))
    for name in ('mean_iou', 'kept'):
        key = f'scores.maskomaly.{name}'
        one, two = (state[key] for state in found)
        torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)
    assert found[0]['scores.maskomaly.is_fitted']
