"""Leaving groups of images out, against the parts themselves."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mmood.metrics import ScoreHistogram, leave_group_out


def counted(scores, positive, num_bins=2**18):
    histogram = ScoreHistogram(num_bins)
    histogram.add(scores, positive)
    return histogram


def image(seed):
    """Scores and labels of 700 pixels, about 20 of them positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random(700) < 0.03
    return (rng.normal(0, 1, 700) + 2 * positive).astype(np.float32), positive


def part(images, left_out):
    """Scores and labels of all images but one."""
    kept = images[:left_out] + images[left_out + 1 :]
    return [np.concatenate(side) for side in zip(*kept)]


@pytest.mark.parametrize(
    ('measure', 'direct'),
    [
        (ScoreHistogram.auroc, roc_auc_score),
        (ScoreHistogram.average_precision, average_precision_score),
    ],
)
def test_matches_sklearn_on_the_parts(measure, direct):
    images = [image(seed) for seed in range(10)]
    result = leave_group_out([counted(*pixels) for pixels in images], measure)
    values = []
    for k in range(10):
        scores, positive = part(images, k)
        values.append(direct(positive, scores))
    deviation = np.sqrt(np.mean((np.array(values) - np.mean(values)) ** 2))
    assert result == pytest.approx((np.mean(values), deviation), rel=1e-9)
    assert deviation > 1e-4


def test_measures_each_part_and_keeps_the_groups():
    images = [image(seed) for seed in range(5)]
    groups = [counted(*pixels, num_bins=300) for pixels in images]
    before = [group.copy() for group in groups]
    seen = []
    leave_group_out(groups, lambda merged: seen.append(merged) or 0.0)
    direct = [counted(*part(images, k), num_bins=300) for k in range(5)]
    for found, expected in zip(seen + groups, direct + before):
        for left, right in zip(found.curve(), expected.curve()):
            np.testing.assert_array_equal(left, right)
    assert len(seen) == 5


def test_skips_groups_without_scores():
    empty = ScoreHistogram()
    groups = [counted([0, 1], [0, 1]), counted([5, 9], [0, 1])]
    result = leave_group_out(
        [groups[0], empty, groups[1], empty],
        lambda merged: merged.num_positive + merged.quantile(1.0),
    )
    assert result == (3.5, 2.5)  # of 1 + 5 and 1 + 0


def test_too_few_groups_are_nan():
    group = counted([0.0, 1.0], [0, 1])
    for groups in ([], [group], [group, ScoreHistogram()]):
        result = leave_group_out(groups, ScoreHistogram.auroc)
        assert np.isnan(result).all() and len(result) == 2
    one_sided = counted([0.0], [0])
    result = leave_group_out([group, one_sided], ScoreHistogram.auroc)
    assert np.isnan(result).all()
