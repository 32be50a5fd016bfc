"""The benchmark of one-stage and DETR heads, on small models."""

from __future__ import annotations

import sys

import pytest
import torch
from mmengine.registry import DefaultScope

from helpers import ROOT, assert_near

sys.path.append(str(ROOT / 'tools/analysis_tools'))
import benchmark_heads as heads
from benchmark_det import make_batch
from timing import compare

SIZE = 96
SMALL = dict(
    RETINANET=heads.CONFIGS / 'posthoc/retinanet_r18_fpn_shapes.py',
    DINO=heads.CONFIGS / 'posthoc/dino_r18_shapes.py',
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(params=SMALL)
def twins(request):
    ours, plain = heads.build_twins(
        SMALL[request.param], heads.LOGIT_SCORES, 'cpu'
    )
    heads.fit(ours.bbox_head.scores, 64, 20, 'cpu')
    return ours, plain


def boxes_of(model):
    with torch.no_grad():
        return model.test_step(make_batch(1, SIZE))[0].pred_instances


def test_the_plain_twin_has_the_boxes_and_no_score(twins):
    for model in twins:
        model.bbox_head.test_cfg.score_thr = 0.0
    ours, plain = map(boxes_of, twins)
    assert len(plain) and not any('ood' in key for key in plain.all_keys())
    for key in ('bboxes', 'scores', 'labels'):
        assert_near(ours[key], plain[key])
    names = [f'ood_scores_{n}' for n in twins[0].bbox_head.scores.names]
    assert len(names) == 4
    for name in names:
        assert torch.isfinite(ours[name]).all()


def test_as_many_candidates_as_wanted():
    _, plain = heads.build_twins(SMALL['RETINANET'], ['energy'], 'cpu')
    batch = make_batch(1, SIZE)
    heads.limit_candidates(plain, batch, 50)
    data = plain.data_preprocessor(batch)
    with torch.no_grad():
        maps = plain(data['inputs'])[0]
    p = torch.cat([m.flatten() for m in maps]).sigmoid()
    count = (p > plain.bbox_head.test_cfg.score_thr).sum()
    assert 45 <= count <= 55  # some may be as large, to rounding
    assert 0 < heads.count_boxes(plain, batch) <= count
    plain.bbox_head.test_cfg.score_thr = 1.0
    with pytest.raises(ValueError, match='keeps no box'):
        heads.count_boxes(plain, batch)


def test_a_bank_keeps_all_samples():
    knn = dict(type='knn', bank_size=300)
    ours, _ = heads.build_twins(SMALL['RETINANET'], [knn], 'cpu')
    heads.fit(ours.bbox_head.scores, 64, 300, 'cpu')
    assert ours.bbox_head.scores.knn.bank.shape == (300, 64)
    assert ours.bbox_head.scores.knn.is_fitted


def test_lines_of_the_table(monkeypatch, capsys):
    """On a clock that takes 3 ms for ours and 2 ms for plain passes."""
    for name, path in SMALL.items():
        monkeypatch.setattr(heads, name, path)
    passes = []

    def timed(step, device):
        step()
        passes.append(step)
        return (0.003, 0.002)[(len(passes) - 1) % 2]

    monkeypatch.setitem(compare.__globals__, 'timed', timed)
    table = heads.rows('cpu', 1, SIZE, bank=200)
    names = [name for name, *_ in table]
    assert names == [
        'RetinaNet, four logit scores',
        'RetinaNet, kNN',
        'DINO, four logit scores',
    ]
    for _, *numbers in table:
        assert numbers == pytest.approx([3, 2, 1.5])
    printed = capsys.readouterr().out
    assert printed.count('boxes are kept') == 3
    assert '1.500 (half of the pairs: 1.500 to 1.500)' in printed
