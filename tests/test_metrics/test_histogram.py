"""Counted metrics against published numbers, sklearn and exact ranking."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_curve

from mmood.metrics import (
    PROTOCOLS,
    ScoreHistogram,
    auroc,
    average_precision,
    fpr_at_tpr,
    id_quantile_threshold,
)

# Scores and labels, OOD is positive.
F2 = (
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    + [0.15, 0.35, 0.55, 0.65, 0.75, 0.85, 0.97, 0.98, 0.99, 0.92],
    [0] * 10 + [1] * 10,
)
F3 = (np.random.RandomState(0).rand(60).round(3), np.arange(60) < 20)
# Scores of two sides, higher = more in-distribution (ID is positive).
ID_TOYS = [
    (list(range(1, 11)), [0.5, 1.5, 2.5, 9.5]),
    (list(range(1, 21)), [0.5, 1.5, 2.5, 19.5]),
    ([1, 2, 2, 2, 3, 3, 3, 3, 3, 3], [1, 2, 2, 3]),
]
MEASURES = ['auroc', 'average_precision', 'fpr_at_tpr']


def counted(scores, positive, num_bins=2**18):
    histogram = ScoreHistogram(num_bins)
    histogram.add(scores, positive)
    return histogram


def mixture(n, kind='normal', seed=0):
    """Scores as methods give them, float32, about 2 % positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.02
    noise, shift = rng.standard_normal(n), positive * 1.0
    scores = {
        'normal': lambda: noise + 2 * shift,
        'logsumexp': lambda: -20 + 2 * noise + 3 * shift,
        'cosines': lambda: np.clip(
            -24.3 + 0.2 * noise + 0.3 * shift, -25, -23
        ),
        'msp': lambda: (1 / (1 + np.exp(8 - 3 * noise - 4 * shift))) ** 2,
        'ties': lambda: np.round(2 * noise + 3 * shift) / 7,
        'half': lambda: (noise + 2 * shift).astype(np.float16),
        'tails': lambda: rng.standard_t(1, n) * np.where(positive, 50, 1),
        'saturated': lambda: np.clip(noise + 2 * shift, -1, 1.5),
    }[kind]()
    return scores.astype(np.float32), positive


@pytest.mark.parametrize(
    ('protocol', 'f2', 'f3'),
    [('dood', 0.7, 0.95), ('rba', 0.9, 0.975)]
    + [(name, 0.9, 0.95) for name in ('fishyscapes', 'openood', 'smiyc')],
)
def test_golden_fpr_with_ood_positive(protocol, f2, f3):
    result = counted(*F2).fpr_at_tpr(protocol=protocol)
    assert result == pytest.approx(f2)
    result = counted(*F3).fpr_at_tpr(protocol=protocol)
    assert result == pytest.approx(f3)


@pytest.mark.parametrize('protocol', ['vos', 'quantile', 'dreambox'])
@pytest.mark.parametrize('toy', range(3))
def test_golden_fpr_with_id_positive(toy, protocol):
    positives, negatives = ID_TOYS[toy]
    histogram = ScoreHistogram()
    histogram.add(positives, np.ones(len(positives)))
    histogram.add(negatives, np.zeros(len(negatives)))
    assert histogram.fpr_at_tpr(protocol=protocol) == 0.75


@pytest.mark.parametrize(
    ('fixture', 'ap', 'area', 'f1', 'threshold'),
    [
        (F2, 0.7521516422, 0.69, 0.6956521739, 0.55),
        (F3, 0.4205319384, 0.596875, 0.5483870968, 0.383),
    ],
)
def test_golden_areas_and_f1(fixture, ap, area, f1, threshold):
    histogram = counted(*fixture)
    assert histogram.average_precision() == pytest.approx(ap, abs=1e-10)
    assert histogram.auroc() == pytest.approx(area, abs=1e-12)
    assert histogram.best_f1() == (
        pytest.approx(f1, abs=1e-10),
        np.float32(threshold),
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('distinct', [2, 6, 15, 200])
def test_distinct_scores_that_fit_are_exact(distinct, protocol):
    rng = np.random.default_rng(distinct)
    for _ in range(15):
        positive = np.arange(40) < rng.integers(1, 40)
        scores = rng.permutation(distinct)[rng.integers(0, distinct, 40)] - 3.5
        tpr = float(rng.choice([0.3, 0.5, 0.8, 0.95, 1.0]))
        histogram = counted(scores, positive, num_bins=40)
        assert histogram.auroc() == pytest.approx(auroc(scores, positive))
        assert histogram.average_precision() == pytest.approx(
            average_precision(scores, positive)
        )
        result = histogram.fpr_at_tpr(tpr, protocol)
        assert result == fpr_at_tpr(scores, positive, tpr, protocol)
        for low, high in histogram.bounds(tpr, protocol).values():
            assert low == high


@pytest.mark.parametrize(
    'kind',
    ['normal', 'logsumexp', 'cosines', 'msp', 'ties', 'half', 'tails']
    + ['saturated'],
)
def test_close_to_sklearn_on_realistic_scores(kind):
    scores, positive = mixture(600_000, kind)
    histogram = ScoreHistogram()
    for part in np.array_split(np.arange(scores.size), 3):
        histogram.add(scores[part], positive[part])
    fprs, tprs, _ = roc_curve(positive, scores)
    precision, recall, _ = precision_recall_curve(positive, scores)
    expected = dict(
        AUROC=auc(fprs, tprs),
        AP=-(np.diff(recall) * precision[:-1]).sum(),
        FPR=fprs[np.argmin(np.abs(tprs - 0.95))],
    )
    result = [getattr(histogram, name)() for name in MEASURES]
    # Few distinct scores are counted exactly.
    error = 1e-12 if kind in ('ties', 'half') else 1e-4
    np.testing.assert_allclose(
        result, [*expected.values()], atol=error, rtol=0
    )
    for name, (low, high) in histogram.bounds().items():
        assert low - 1e-12 <= expected[name] <= high + 1e-12
        # A bin does not know that all of its scores are the limit.
        assert high - low < (1 if kind == 'saturated' else 1e-3)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert histogram.best_f1()[0] == pytest.approx(f1.max(), abs=1e-4)


@pytest.mark.parametrize('num_bins', [3, 50])
def test_thresholds_select_what_the_curve_counts(num_bins):
    scores, positive = mixture(5000)
    histogram = counted(scores, positive, num_bins)
    for threshold, tp, fp in zip(*histogram.curve()):
        assert (scores[positive] >= threshold).sum() == tp
        assert (scores[~positive] >= threshold).sum() == fp


@pytest.mark.parametrize('num_bins', [20, 500, 2**18])
def test_f1_is_that_of_its_threshold(num_bins):
    scores, positive = mixture(5000)
    f1, threshold = counted(scores, positive, num_bins).best_f1()
    chosen = scores >= threshold
    hits = (chosen & positive).sum()
    assert f1 == pytest.approx(2 * hits / (chosen.sum() + positive.sum()))
    assert f1 > 0.2


def test_f1_is_the_best_and_takes_the_strictest():
    # F1 by threshold: 1 -> 2/5, 2 -> 2/4, 3 -> 4/5, 4 -> 2/3.
    scores, positive = [4, 3, 3, 2, 1], [1, 1, 0, 0, 0]
    assert counted(scores, positive).best_f1() == (0.8, 3)
    # Threshold 5 gives 2/3, and so does 1: 2 * 2 / (4 + 2).
    scores, positive = [5, 4, 3, 1], [1, 0, 0, 1]
    assert counted(scores, positive).best_f1() == (pytest.approx(2 / 3), 5)


@pytest.mark.parametrize('q', [0.07, 0.5, 0.55, 0.95, 1.0])
@pytest.mark.parametrize('positive', [False, True])
def test_quantile_of_one_side_is_exact_where_bins_are(q, positive):
    scores, labels = mixture(3000)
    labels[::2] = True
    result = counted(scores, labels).quantile(q, positive)
    assert result == id_quantile_threshold(scores[labels == positive], q)


@pytest.mark.parametrize(('q', 'edge'), [(0.07, 7), (0.55, 55)])
def test_quantile_is_not_pushed_up_by_rounding(q, edge):
    assert q * 100 > edge  # in floating point
    assert counted(np.arange(1, 101), np.zeros(100)).quantile(q) == edge


def test_quantile_is_the_upper_edge_of_its_bin():
    scores, positive = mixture(20_000)
    ids = scores[~positive]
    exact = id_quantile_threshold(ids)
    for num_bins in (10, 100, 1000):
        histogram = counted(scores, positive, num_bins)
        edge = histogram.quantile(0.95)
        assert edge >= exact
        assert (ids <= edge).mean() >= 0.95
        starts = histogram.curve()[0]
        lowest = starts[starts <= edge].max()
        assert lowest <= exact and (ids < lowest).mean() < 0.95
    assert edge == pytest.approx(exact, rel=0.05)


def test_infinite_scores_are_the_most_extreme():
    scores = np.array([-np.inf, -3, 0, 2, 3e38, np.inf, np.inf])
    positive = [0, 1, 0, 0, 1, 1, 0]
    ranks = [0, 1, 2, 3, 4, 5, 5]
    histogram = counted(scores, positive)
    assert histogram.auroc() == pytest.approx(auroc(ranks, positive))
    assert histogram.average_precision() == pytest.approx(
        average_precision(ranks, positive)
    )
    assert histogram.curve()[0][[0, -1]].tolist() == [np.inf, -np.inf]
    assert histogram.quantile(1.0) == np.inf
    coarse = counted(scores, positive, num_bins=2)
    low, high = coarse.bounds()['AUROC']
    assert low <= histogram.auroc() <= high
    assert coarse.quantile(1.0) == np.inf


def test_scores_are_float32():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        huge = counted([1e300, -1e300, 0.0], [1, 0, 1])
    assert huge.curve()[0].tolist() == [np.inf, 0, -np.inf]
    assert counted([1, 1 + 1e-12], [0, 1]).auroc() == 0.5
    assert counted([1, 1 + 1e-6], [0, 1]).auroc() == 1
    assert counted([0.0, -0.0], [0, 1]).auroc() == 0.5
    assert counted([-1e-45, 1e-45, 0.0], [0, 1, 0]).auroc() == 1


def test_any_shape_and_kind_of_array_counts():
    scores, labels = np.array(F2[0], np.float32), np.array(F2[1])
    strided = np.stack([scores, scores + 9], axis=1)[:, 0]
    for histogram in [
        counted(scores.reshape(4, 5), labels.reshape(4, 5)),
        counted(strided, labels.astype(np.uint8)),
        counted(scores.tolist(), (labels == 1).tolist()),
    ]:
        assert histogram.auroc() == pytest.approx(0.69)
        assert histogram.num_positive == 10
    np.testing.assert_array_equal(scores, np.float32(F2[0]))


@pytest.mark.parametrize('positive', [[], [True, True], [False, False]])
def test_one_sided_sets_are_nan(positive):
    histogram = counted(np.arange(len(positive)), positive)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        values = [histogram.auroc(), histogram.average_precision()]
        values += [histogram.fpr_at_tpr(protocol=p) for p in PROTOCOLS]
        values += histogram.best_f1()
        values += np.ravel([*histogram.bounds().values()]).tolist()
        values.append(histogram.quantile(0.5, positive=not any(positive)))
    assert len(values) == 2 + len(PROTOCOLS) + 2 + 6 + 1
    assert np.isnan(values).all()


@pytest.mark.parametrize('share', [0, -0.1, 1.01, 95, float('nan')])
def test_refuses_what_is_no_share(share):
    histogram = counted(*F2)
    with pytest.raises(ValueError, match=f'tpr .*got {share}'):
        histogram.fpr_at_tpr(share)
    with pytest.raises(ValueError, match=f'tpr .*got {share}'):
        histogram.bounds(share)
    with pytest.raises(ValueError, match=f'q .*got {share}'):
        histogram.quantile(share)


def test_refuses_unknown_protocols_and_too_few_bins():
    with pytest.raises(ValueError, match="'coco'.*'dood'"):
        counted(*F2).fpr_at_tpr(protocol='coco')
    with pytest.raises(ValueError, match="'coco'.*'dood'"):
        ScoreHistogram().bounds(protocol='coco')
    with pytest.raises(ValueError, match='num_bins .*got 1'):
        ScoreHistogram(1)


@pytest.mark.parametrize('num_bins', [4, 2**18])
def test_tallies_are_what_lies_up_to_an_edge(num_bins):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=500).astype(np.float32).round(2)
    positive = rng.random(500) < 0.3
    histogram = ScoreHistogram(num_bins)
    histogram.add(scores, positive)
    edges, *counts = histogram.tallies()
    assert (np.diff(edges) > 0).all()
    for side, found in zip((~positive, positive), counts):
        expected = [(scores[side] <= edge).sum() for edge in edges]
        assert found.cumsum().tolist() == expected


def test_tallies_of_nothing():
    assert [part.size for part in ScoreHistogram().tallies()] == [0, 0, 0]
