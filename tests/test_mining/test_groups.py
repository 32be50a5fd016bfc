"""Groups of features: degenerate ones first."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from mmood.mining import NOT_GROUPED, group_features


def blobs(sizes, channels=64, spread=0.02, seed=0):
    """Rows around one direction each, and which one; lengths differ."""
    rng = np.random.default_rng(seed)
    middles = np.linalg.qr(rng.normal(size=(channels, len(sizes))))[0].T
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = middles[labels] + spread * rng.normal(size=(len(labels), channels))
    rows *= rng.uniform(0.5, 20, (len(labels), 1))
    order = rng.permutation(len(labels))
    return rows[order].astype(np.float16), labels[order]


@pytest.mark.parametrize('how', ['hdbscan', 3])
def test_no_box_at_all(how):
    for channels in (0, 8):
        found = group_features(np.zeros((0, channels), np.float16), how)
        assert len(found.labels) == len(found.places) == 0


@pytest.mark.parametrize('how', ['hdbscan', 7])
@pytest.mark.parametrize('count', [5, 1000])
def test_all_boxes_are_the_same(how, count):
    rows = np.repeat(np.random.default_rng(0).normal(size=(1, 64)), count, 0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = group_features(rows.astype(np.float16), how, min_group=5)
    np.testing.assert_array_equal(found.labels, np.zeros(count))
    assert sorted(found.places) == list(range(count))


def test_fewer_boxes_than_groups():
    rows, _ = blobs([1, 1, 1])
    found = group_features(rows, 10)
    assert sorted(found.labels) == [0, 1, 2]
    assert not found.places.any()
    few = group_features(rows, 'hdbscan')
    assert (few.labels == NOT_GROUPED).all()
    assert sorted(few.places) == [0, 1, 2]


def test_rows_that_are_no_numbers_do_no_harm():
    rows, _ = blobs([30, 20])
    rows[3], rows[4] = np.nan, 0
    found = group_features(rows, 3)
    assert found.labels[3] == found.labels[4]
    assert found.labels.min() >= 0


@pytest.mark.parametrize('how', ['hdbscan', 4])
def test_directions_make_the_groups_and_sizes_their_numbers(how):
    sizes = [20, 60, 40, 30]
    rows, truth = blobs(sizes)
    found = group_features(rows, how, min_group=15)
    assert adjusted_rand_score(truth, found.labels) > 0.99
    assert np.bincount(found.labels).tolist() == sorted(sizes)[::-1]


def test_a_group_begins_with_its_medoid():
    rows, _ = blobs([25, 40], channels=16, spread=0.2)
    found = group_features(rows, 2)
    unit = rows.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for group in (0, 1):
        own = np.flatnonzero(found.labels == group)
        apart = unit[own][:, None] - unit[own]
        squared = (apart**2).sum(-1)
        medoid = squared.sum(1).argmin()
        assert found.places[own[medoid]] == 0
        order = own[np.argsort(found.places[own])]
        steps = np.linalg.norm(unit[order] - unit[own[medoid]], axis=1)
        assert (np.diff(steps) >= -1e-4).all()


@pytest.mark.parametrize('how', ['hdbscan', 3])
def test_boxes_outside_of_the_sample_join_the_nearest_medoid(how):
    rows, truth = blobs([300, 200, 100])
    far = -rows[:20].astype(float).sum(0, keepdims=True).repeat(5, 0)
    rows = np.concatenate([rows, far.astype(np.float16)])
    found = group_features(rows, how, min_group=15, sample=120)
    assert adjusted_rand_score(truth, found.labels[:600]) > 0.95
    again = group_features(rows, how, min_group=15, sample=120)
    np.testing.assert_array_equal(found.labels, again.labels)
    np.testing.assert_array_equal(found.places, again.places)
    if how == 'hdbscan':  # what is like no group stays out of them
        assert (found.labels[600:] == NOT_GROUPED).all()
    else:
        assert found.labels.min() == 0


def test_rows_may_stay_on_disk(tmp_path):
    rows, truth = blobs([50, 30])
    np.save(tmp_path / 'rows.npy', rows)
    mapped = np.load(tmp_path / 'rows.npy', mmap_mode='r')
    found = group_features(mapped, 2)
    assert adjusted_rand_score(truth, found.labels) == 1


@pytest.mark.parametrize('how', ['dbscan', 0, -1, 2.5, None])
def test_other_ways_are_refused(how):
    with pytest.raises(ValueError, match=f"'hdbscan' or a number.*{how!r}"):
        group_features(np.zeros((3, 2)), how)


def test_copies_that_differ_by_rounding_stay_together():
    rows, truth = blobs([1] * 6, channels=16)
    rows = rows[np.argsort(truth)].astype(float)
    copies = np.tile(rows, (300, 1))
    copies *= 1 + 2e-4 * np.random.default_rng(0).normal(size=copies.shape)
    found = group_features(copies.astype(np.float16), 'hdbscan')
    np.testing.assert_array_equal(found.labels, np.tile(found.labels[:6], 300))
    assert sorted(found.labels[:6]) == list(range(6))
