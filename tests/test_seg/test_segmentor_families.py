"""Any `EncoderDecoder` of mmseg: convolutions and transformers."""

import pytest
import torch
from mmengine.config import ConfigDict

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.scores import energy
from seg_families import FAMILIES, batch, build
from seg_helpers import assert_best_classes, stock_segmentor

SCORES = ['energy', 'msp', 'mahalanobis', dict(type='knn', k=2), 'gram']
COMPOUND = dict(type='compound', of=['msp', 'knn'])
SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(16, 32))


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
@pytest.mark.parametrize('family', FAMILIES)
def test_scores_of_any_family(family, test_cfg):
    """Fitted, thresholded, beside the class maps of mmseg."""
    model, cfg = build(family, [COMPOUND, *SCORES], test_cfg=test_cfg)
    stock = stock_segmentor(model, cfg)
    stock.data_preprocessor = model.data_preprocessor
    state = stock.state_dict()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not missing and not unexpected
    fit_scores(model, [batch(2)])
    with torch.no_grad():
        ours = model.test_step(batch())
        expected = stock.test_step(batch())
    for one, other in zip(ours, expected):
        logits = other.seg_logits.data
        assert_near(one.seg_logits.data, logits, atol=1e-3)
        assert_best_classes(one.pred_sem_seg.data[0], logits)
        maps = one.pred_ood
        assert_near(maps.energy[0], energy(logits, dim=0), atol=1e-3)
        names = [s if isinstance(s, str) else s['type'] for s in SCORES]
        assert maps.score_names == ('compound', *names)
        for name in maps.score_names:
            found = maps.get(name)
            assert found.shape == (1, 48, 32) and found.isfinite().all()
            assert found.std() > 0
        assert torch.equal(maps.data, maps.compound)
        assert not maps.is_ood.any()
    threshold = ours[0].pred_ood.data.median()
    model.scores.thresholds['compound'].fill_(threshold)
    with torch.no_grad():
        again = model.test_step(batch())[0].pred_ood
    assert 0.2 < again.is_ood.float().mean() < 0.7
    other, _ = build(family, [COMPOUND, *SCORES], test_cfg=test_cfg)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert_near(other.test_step(batch())[0].pred_ood.data, again.data)


def test_an_image_smaller_than_the_window():
    """One window, as in whole mode."""
    slide = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    scores = [dict(COMPOUND, of=['energy', 'knn']), *SCORES, 'odin']
    model, _ = build('fcn', scores, test_cfg=slide)
    fit_scores(model, [batch(2)])
    with torch.no_grad():
        found = model.test_step(batch())[0].pred_ood
        model.test_cfg = ConfigDict(mode='whole')
        expected = model.test_step(batch())[0].pred_ood
    for name in expected.score_names:
        assert_near(found.get(name), expected.get(name))


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
def test_odin_moves_the_image_of_each_window(test_cfg):
    """Towards the certain; without a move it is the MSP of logits / T."""
    still = dict(type='odin', temperature=1.0, epsilon=0.0)
    moved = dict(type='odin', name='moved', temperature=1.0, epsilon=0.05)
    model, _ = build('fcn', ['msp', still, moved], test_cfg=test_cfg)
    with torch.no_grad():
        maps = model.test_step(batch())[0].pred_ood
    if test_cfg is not SLIDE:
        assert_near(maps.odin, maps.msp, atol=1e-4)
    assert (maps.odin - maps.moved).mean() > 1e-3
    assert not any(p.grad is not None for p in model.parameters())


def test_a_fit_in_half_precision():
    """Nearly that of full precision; maps and statistics are float32."""
    model, _ = build('fcn', [COMPOUND, *SCORES, 'odin'])
    fit_scores(model, [batch(2)])
    with torch.no_grad():
        exact = model.test_step(batch())[0].pred_ood
        with torch.autocast('cpu', torch.bfloat16):
            fit_scores(model, [batch(2)])
            half = model.test_step(batch())[0].pred_ood
    assert model.scores.fitted['knn'].bank.dtype == torch.float32
    for name in ('energy', 'msp', 'knn', 'compound'):
        assert half.get(name).dtype == torch.float32
        assert half.get(name).isfinite().all()
        spread = exact.get(name).std()
        assert (half.get(name) - exact.get(name)).abs().mean() < spread / 2
