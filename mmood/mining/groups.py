"""Groups of boxes that look alike to the detector.

Shapes: N boxes, C feature channels, M boxes of the sample that groups are
found in, G groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

NOT_GROUPED = -1
_ROUNDING = 0.01  # distance of two rows of length 1 that are the same
_CHUNK = 4096  # rows of features in memory at a time


class Groups(NamedTuple):
    """Of N boxes the group, and the place in it.

    labels: (N,) from 0, the largest group first; `NOT_GROUPED` for none.
    places: (N,) 0 for the medoid, then by the distance from it.
    """

    labels: np.ndarray
    places: np.ndarray


def group_features(
    features: np.ndarray,
    how: str | int = 'hdbscan',
    *,
    min_group: int | None = None,
    dims: int = 16,
    sample: int = 20_000,
    seed: int = 0,
) -> Groups:
    """Groups of rows (N, C) by the angles between them.

    Rows are divided by their length, then turned into their ``dims`` first
    principal components: in many dimensions all distances are alike, which
    leaves a density nothing to tell, and no tree of neighbours is quick
    there. ``how`` is ``'hdbscan'`` (Campello et al., PAKDD 2013: the leaves of
    its tree, as a person can give two groups one name, but not one group two)
    or the number of groups of k-means, less where there are fewer boxes that
    differ.

    Of more than ``sample`` boxes groups are found in so many of them, drawn
    with the ``seed``; each other box joins the nearest medoid, with HDBSCAN
    if it is not farther from it than all of the group that was found. A
    medoid is the member with the least sum of squared distances to all
    others, which is the one next to their mean.

    ``min_group``: least size of HDBSCAN's groups in the sample; None: half
    the root of its size, at least 5. Rows stay on disk but for the sample.
    """
    check_how(how)
    count = len(features)
    chosen = np.arange(count)
    if count > sample:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(count, sample, replace=False))
    project = _projection(_unit(features[chosen]), dims, seed)
    points = project(_unit(features[chosen]))
    found = _cluster(points, how, min_group, seed)
    size = found.max(initial=-1) + 1
    middles = _medoids(points, found, size)
    labels = np.full(count, NOT_GROUPED)
    labels[chosen] = found
    reach = np.full(size, np.inf)
    if how == 'hdbscan':
        for group in range(size):
            own = points[found == group] - middles[group]
            reach[group] = np.linalg.norm(own, axis=1).max()
    distances = np.zeros(count)
    is_free = np.ones(count, bool)
    is_free[chosen] = False
    for rows in _chunks(count):
        near = _distances(project(_unit(features[rows])), middles)
        if size:
            best = near.argmin(1)
            takes = is_free[rows] & (near.min(1) <= reach[best])
            labels[rows] = np.where(takes, best, labels[rows])
        own = np.concatenate([near, np.zeros((len(near), 1))], 1)
        distances[rows] = own[np.arange(len(near)), labels[rows]]
    return _ordered(labels, distances)


def check_how(how: str | int) -> None:
    """Raises ValueError for what names no way to group."""
    is_number = isinstance(how, (int, np.integer)) and how >= 1
    if how != 'hdbscan' and not is_number:
        raise ValueError(
            f"groups must be 'hdbscan' or a number from 1, got {how!r}"
        )


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; of what is no number or nought 0."""
    rows = np.nan_to_num(np.asarray(rows, np.float32), posinf=0, neginf=0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(length, 1e-12)


def _projection(rows: np.ndarray, dims: int, seed: int):
    """Function: rows (n, C) to their first principal components."""
    from sklearn.decomposition import PCA

    least = min(dims, *rows.shape)
    if least < 1 or rows.shape[1] <= dims or not np.ptp(rows, axis=0).any():
        return lambda rows: rows
    return PCA(least, random_state=seed).fit(rows).transform


def _cluster(
    points: np.ndarray, how: str | int, min_group: int | None, seed: int
) -> np.ndarray:
    """Group of each point (M,); `NOT_GROUPED` for none."""
    from sklearn.cluster import HDBSCAN, KMeans

    count = len(points)
    if how != 'hdbscan':
        different = len(np.unique(points.round(5), axis=0))
        if different < 2:
            return np.zeros(count, int)
        groups = min(int(how), different)
        means = KMeans(groups, n_init=3, random_state=seed)
        return means.fit_predict(points)
    least = min_group or max(5, round(count**0.5 / 2))
    if count < least:
        return np.full(count, NOT_GROUPED)
    settings = dict(min_cluster_size=least, min_samples=1, copy=True)
    leaves = HDBSCAN(cluster_selection_method='leaf', **settings)
    found = leaves.fit_predict(points)
    if (found < 0).all():  # all may be of one group
        found = HDBSCAN(allow_single_cluster=True, **settings).fit_predict(
            points
        )
    return _with_copies(points, np.maximum(found, NOT_GROUPED))


def _with_copies(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Groups that differ by rounding become one, and take such boxes.

    Copies of a picture make points so dense that this is their structure.
    """
    from scipy.sparse.csgraph import connected_components

    middles = _medoids(points, labels, labels.max(initial=-1) + 1)
    if not len(middles):
        return labels
    _, one = connected_components(_distances(middles, middles) < _ROUNDING)
    near = _distances(points, middles)
    takes = (labels < 0) & (near.min(1) < _ROUNDING)
    labels = np.where(takes, near.argmin(1), labels)
    return np.where(labels < 0, NOT_GROUPED, one[labels])


def _medoids(
    points: np.ndarray, labels: np.ndarray, groups: int
) -> np.ndarray:
    """(G, dims): of each group the member next to its mean."""
    middles = np.zeros((groups, points.shape[1]), points.dtype)
    for group in range(groups):
        own = points[labels == group]
        middles[group] = own[_distances(own, own.mean(0)[None]).argmin()]
    return middles


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, G)."""
    squared = (points**2).sum(1)[:, None] + (others**2).sum(1)
    squared = squared - 2 * points @ others.T
    return np.sqrt(np.maximum(squared, 0))


def _ordered(labels: np.ndarray, distances: np.ndarray) -> Groups:
    """Groups by their size, and boxes by their distance to the medoid."""
    sizes = np.bincount(labels[labels >= 0])
    order = np.argsort(-sizes, kind='stable')
    number = np.full(len(sizes) + 1, NOT_GROUPED)
    number[order] = np.arange(len(sizes))
    labels = number[labels]  # the last one is that of NOT_GROUPED
    places = np.zeros(len(labels), int)
    order = np.lexsort((distances, labels))
    _, starts = np.unique(labels[order], return_index=True)
    for start, end in zip(starts, [*starts[1:], len(order)]):
        places[order[start:end]] = np.arange(end - start)
    return Groups(labels, places)


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)
