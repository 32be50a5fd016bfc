"""Ranking metrics against published numbers, sklearn and brute force."""

import numpy as np
import pytest
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from mmood.metrics import (
    PROTOCOLS,
    ScoreHistogram,
    auroc,
    average_precision,
    fpr_at_tpr,
    protocol_rule,
)

# Scores of two sides, higher = more in-distribution (ID is positive).
ID_TOYS = [
    (list(range(1, 11)), [0.5, 1.5, 2.5, 9.5]),
    (list(range(1, 21)), [0.5, 1.5, 2.5, 19.5]),
    ([1, 2, 2, 2, 3, 3, 3, 3, 3, 3], [1, 2, 2, 3]),
]
# Scores and labels, OOD is positive.
F2 = (
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    + [0.15, 0.35, 0.55, 0.65, 0.75, 0.85, 0.97, 0.98, 0.99, 0.92],
    [0] * 10 + [1] * 10,
)
F3 = (
    np.random.RandomState(0).rand(60).round(3),
    np.arange(60) < 20,
)
FIRST_AT_LEAST = ['fishyscapes', 'pytorch_ood', 'smiyc']


def two_sides(positives, negatives):
    scores = np.concatenate([positives, negatives])
    return scores, np.arange(len(scores)) < len(positives)


def vos_fpr(positives, negatives, tpr):
    """The VOS rule by counting, from its description alone."""
    points = []
    for threshold in sorted({*positives, *negatives}, reverse=True):
        recall = sum(p >= threshold for p in positives) / len(positives)
        fpr = sum(n >= threshold for n in negatives) / len(negatives)
        points.append((abs(recall - tpr), -len(points), fpr))
        if recall == 1:
            break
    return min(points)[2]


def dood_fpr(positives, negatives, tpr, corners_only=True):
    """First nearest point of the ROC curve, of its corners if wanted."""
    points = [(0, 0)]
    for threshold in sorted({*positives, *negatives}, reverse=True):
        hits = [sum(v >= threshold for v in s) for s in (positives, negatives)]
        points.append(tuple(hits))
    if corners_only:
        steps = np.diff(points[1:], axis=0).tolist()
        kept = [i + 2 for i, (a, b) in enumerate(zip(steps, steps[1:]))]
        kept = [i for i in kept if steps[i - 2] != steps[i - 1]]
        last = [len(points) - 1] if len(points) > 2 else []
        points = [points[i] for i in [0, 1, *kept, *last]]
    gaps = [abs(tp / len(positives) - tpr) for tp, _ in points]
    return points[gaps.index(min(gaps))][1] / len(negatives)


@pytest.mark.parametrize('protocol', ['vos', 'quantile', 'dreambox'])
@pytest.mark.parametrize('toy', range(3))
def test_golden_fpr_with_id_positive(toy, protocol):
    scores, positive = two_sides(*ID_TOYS[toy])
    assert fpr_at_tpr(scores, positive, protocol=protocol) == 0.75


@pytest.mark.parametrize(
    ('protocol', 'f2', 'f3'),
    [('dood', 0.7, 0.95), ('rba', 0.9, 0.975), ('openood', 0.9, 0.95)]
    + [(name, 0.9, 0.95) for name in FIRST_AT_LEAST],
)
def test_golden_fpr_with_ood_positive(protocol, f2, f3):
    assert fpr_at_tpr(*F2, protocol=protocol) == pytest.approx(f2)
    assert fpr_at_tpr(*F3, protocol=protocol) == pytest.approx(f3)


def test_golden_areas():
    assert average_precision(*F2) == pytest.approx(0.7521516422, abs=1e-10)
    assert average_precision(*F3) == pytest.approx(0.4205319384, abs=1e-10)
    assert auroc(*F2) == pytest.approx(0.69, abs=1e-12)
    assert auroc(*F3) == pytest.approx(0.596875, abs=1e-12)


def test_every_protocol_has_a_golden_number():
    tested = {'vos', 'quantile', 'dreambox', 'dood', 'rba', 'openood'}
    assert set(PROTOCOLS) == {*tested, *FIRST_AT_LEAST}


def test_vos_matches_brute_force_on_small_sets():
    rng = np.random.default_rng(0)
    for _ in range(200):
        positives = rng.integers(0, 6, rng.integers(1, 13)).tolist()
        negatives = rng.integers(0, 6, rng.integers(1, 9)).tolist()
        tpr = float(rng.choice([0.5, 0.8, 0.95, 1.0]))
        scores, positive = two_sides(positives, negatives)
        result = fpr_at_tpr(scores, positive, tpr, protocol='vos')
        expected = vos_fpr(positives, negatives, tpr)
        assert result == pytest.approx(expected), (positives, negatives, tpr)


def test_dood_matches_brute_force_and_skips_points_between_corners():
    rng = np.random.default_rng(2)
    skipped = 0
    for _ in range(200):
        sides = [rng.integers(0, 15, n).tolist() for n in (12, 8)]
        scores, positive = two_sides(*sides)
        result = fpr_at_tpr(scores, positive, protocol='dood')
        assert result == pytest.approx(dood_fpr(*sides, 0.95)), sides
        skipped += result != dood_fpr(*sides, 0.95, corners_only=False)
    assert skipped > 0


@pytest.mark.parametrize(
    ('protocol', 'strict'), [(n, False) for n in FIRST_AT_LEAST] + [('rba', 1)]
)
def test_first_rules_match_brute_force_on_small_sets(protocol, strict):
    rng = np.random.default_rng(1)
    for _ in range(100):
        positives = rng.integers(0, 6, rng.integers(1, 13))
        negatives = rng.integers(0, 6, rng.integers(1, 9))
        for threshold in sorted({*positives, *negatives}, reverse=True):
            recall = (positives >= threshold).mean()
            if recall > 0.75 or (recall == 0.75 and not strict):
                break
        scores, positive = two_sides(positives, negatives)
        result = fpr_at_tpr(scores, positive, 0.75, protocol)
        assert result == pytest.approx((negatives >= threshold).mean())


def test_quantile_takes_the_entry_and_excludes_it():
    positives = np.arange(40, 0, -1)  # entry int(0.95 * 40) = 38 is 2
    negatives = np.array([2, 3, 1.5, 40, 2])
    scores, positive = two_sides(positives, negatives)
    assert fpr_at_tpr(scores, positive, protocol='quantile') == 0.4


def test_full_recall_is_reached_by_every_counting_rule():
    scores, positive = two_sides([1, 2, 3], [0.5, 1, 2.5, 9])
    for protocol in ['vos', 'dood', 'rba', *FIRST_AT_LEAST]:
        expected = 1.0 if protocol == 'rba' else 0.75
        assert fpr_at_tpr(scores, positive, 1.0, protocol) == expected


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_separable_and_reversed_sets(protocol):
    positives, negatives = np.arange(60.0, 100.0), np.arange(0.0, 40.0)
    best = two_sides(positives, negatives)
    worst = two_sides(negatives, positives)
    assert fpr_at_tpr(*best, protocol=protocol) == 0
    assert fpr_at_tpr(*worst, protocol=protocol) == 1


@pytest.mark.parametrize('distinct', [3, 20, 10000])
def test_areas_match_sklearn_with_ties(distinct):
    rng = np.random.default_rng(distinct)
    scores = rng.integers(0, distinct, 300)
    positive = rng.random(300) < 0.3
    assert auroc(scores, positive) == pytest.approx(
        roc_auc_score(positive, scores), abs=1e-12
    )
    assert average_precision(scores, positive) == pytest.approx(
        average_precision_score(positive, scores), abs=1e-12
    )


def openood(scores, positive, tpr):
    """FPR and AUPR as OpenOOD calls sklearn (evaluators/metrics.py)."""
    fprs, tprs, _ = roc_curve(positive, scores)
    precision, recall, _ = precision_recall_curve(positive, scores)
    return fprs[np.argmax(tprs >= tpr)], auc(recall, precision)


@pytest.mark.parametrize('distinct', [2, 6, 40, 10**9])
def test_openood_is_what_sklearn_gives_it(distinct):
    rng = np.random.default_rng(distinct)
    other_fpr = other_area = 0
    for _ in range(60):
        scores = rng.integers(0, distinct, rng.integers(4, 60))
        positive = rng.random(scores.size) < rng.uniform(0.1, 0.9)
        positive[:2] = True, False
        tpr = float(rng.choice([0.5, 0.8, 0.95, 1.0]))
        fpr, area = openood(scores, positive, tpr)
        args = scores, positive
        counted = ScoreHistogram()
        counted.add(scores.astype(np.float32), positive)
        for found in (
            (
                fpr_at_tpr(*args, tpr, 'openood'),
                average_precision(*args, protocol='openood'),
            ),
            (
                counted.fpr_at_tpr(tpr, 'openood'),
                counted.average_precision(protocol='openood'),
            ),
        ):
            assert found == pytest.approx((fpr, area), abs=1e-12), args
        # pytorch-ood reads FPR on all points of the curve.
        assert average_precision(*args, protocol='pytorch_ood') == (
            pytest.approx(area, abs=1e-12)
        )
        other_fpr += fpr != fpr_at_tpr(*args, tpr, 'pytorch_ood')
        other_area += abs(area - average_precision(*args)) > 0.01
    # Only pieces with both sides in each score have a middle that matters.
    assert other_area > 5 and (other_fpr or distinct != 6)


def test_openood_by_hand():
    # Points (FPR, TPR): equal steps up to (1/2, 1/2), then to (1, 1/2)
    # and (1, 1). Precisions 1, 1/2, 1/2, 2/5, 1/2 at recalls 0, 1/4 ...
    scores = [9, 9, 8, 8, 7, 7, 6, 6]
    positive = [1, 0, 1, 0, 0, 0, 1, 1]
    assert fpr_at_tpr(scores, positive, 0.2, 'fishyscapes') == 1 / 4
    assert fpr_at_tpr(scores, positive, 0.2, 'openood') == 1 / 4
    assert fpr_at_tpr(scores, positive, 0.3, 'fishyscapes') == 1 / 2
    assert fpr_at_tpr(scores, positive, 0.3, 'openood') == 1 / 2
    steps = (1 / 2 + 1 / 2) / 4 + 1 / 2 / 2
    lines = (3 / 4 + 1 / 2) / 4 + (1 / 3 + 1 / 2) / 2 / 2
    assert average_precision(scores, positive) == pytest.approx(steps)
    found = average_precision(scores, positive, protocol='openood')
    assert found == pytest.approx(lines)
    # Three equal steps: the middle one is no corner.
    scores, positive = [3, 3, 2, 2, 1, 1], [1, 0] * 3
    assert fpr_at_tpr(scores, positive, 0.5, 'fishyscapes') == 2 / 3
    assert fpr_at_tpr(scores, positive, 0.5, 'openood') == 1


def test_auroc_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    positives, negatives = rng.integers(0, 9, 20), rng.integers(0, 9, 30)
    gap = positives[:, None] - negatives[None]
    expected = ((gap > 0) + 0.5 * (gap == 0)).mean()
    assert auroc(*two_sides(positives, negatives)) == pytest.approx(expected)


def test_any_shape_and_kind_of_labels_counts():
    scores, labels = np.array(F2[0]), np.array(F2[1])
    grid = scores.reshape(4, 5), labels.reshape(4, 5)
    assert auroc(*grid) == auroc(scores, labels == 1)
    assert fpr_at_tpr(*grid) == fpr_at_tpr(scores, labels == 1)


@pytest.mark.parametrize('positive', [[], [True, True], [False, False]])
def test_one_sided_sets_are_nan(positive):
    scores = np.arange(len(positive))
    assert np.isnan(auroc(scores, positive))
    assert np.isnan(average_precision(scores, positive))
    for protocol in PROTOCOLS:
        assert np.isnan(fpr_at_tpr(scores, positive, protocol=protocol))


@pytest.mark.parametrize('tpr', [0, -0.1, 1.01, 95, float('nan')])
def test_refuses_a_tpr_that_is_no_share(tpr):
    with pytest.raises(ValueError, match=f'tpr .*got {tpr}'):
        fpr_at_tpr([0, 1], [0, 1], tpr)


def test_refuses_unknown_protocols():
    with pytest.raises(ValueError, match="'coco'.*'dood'.*'vos'"):
        protocol_rule('coco')
    with pytest.raises(ValueError, match="'coco'"):
        fpr_at_tpr([0, 1], [0, 1], protocol='coco')
