"""The threshold of SegmentMeIfYouCan's public evaluator.

Shapes: N pixels of a frame, B bins of it.
Source: Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly
Segmentation", NeurIPS Datasets and Benchmarks 2021, public evaluation code
(``PixBinaryClass``, which ``SegEval`` takes its threshold from).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .inputs import as_scored_sides

NUM_BINS = 768


class BinnedFrame(NamedTuple):
    """Pixels of a frame in bins, by falling score."""

    edges: np.ndarray  # (B,), the lower ones
    positives: np.ndarray  # (B,), pixels
    negatives: np.ndarray  # (B,), pixels


def bin_frame(scores: ArrayLike, is_positive: ArrayLike) -> BinnedFrame:
    """The pixels of a frame that are not ignored, in up to 768 bins.

    Edges are 384 quantiles of the scores of either side, and 1 % of the
    range (0.01 at least) beyond both ends; those of equal value are one. The
    quantiles are in the scores' own precision. Raises ValueError for
    infinite scores and for what `mmood.metrics.auroc` refuses.
    """
    scores, positive = as_scored_sides(scores, is_positive)
    infinite = int(np.isinf(scores).sum())
    if infinite:
        raise ValueError(
            f'scores has {infinite} infinite of {scores.size}; the bins of '
            'smiyc need finite ones'
        )
    if not scores.size:
        return BinnedFrame(np.zeros(0), *np.zeros((2, 0), np.int64))
    sides = [
        side for side in (scores[positive], scores[~positive]) if side.size
    ]
    low, high = scores.min(), scores.max()
    margin = np.maximum((high - low) * 1e-2, 1e-2)
    quantiles = [
        np.quantile(side, np.linspace(0, 1, min(NUM_BINS // 2, side.size)))
        for side in sides
    ]
    edges = np.unique(
        np.concatenate([[low - margin, high + margin], *quantiles])
    )
    counts = [
        np.histogram(scores[chosen], edges)[0][::-1]
        for chosen in (positive, ~positive)
    ]
    return BinnedFrame(edges[:-1][::-1], *counts)


def best_f1_threshold(frames: Iterable[BinnedFrame]) -> float:
    """The lower edge down to which the F1 of all frames' pixels is best.

    ``2PR / (P + R)`` counts the pixels from an edge of their own frame on;
    of equally good edges the highest. The evaluator then segments with
    ``score > threshold``, and so loses the pixels that are equal to it: all
    of a map that is saturated or constant over an object. nan if a side is
    empty. Where frames share their highest edge, the evaluator also tries
    the pixels of one of them alone, by chance of its sorting; left out.
    """
    frames = list(frames)
    edges, positives, negatives = (
        np.concatenate([np.zeros(0), *column])
        for column in (zip(*frames) if frames else [()] * 3)
    )
    if not positives.any() or not negatives.any():
        return float('nan')
    order = np.argsort(-edges, kind='stable')
    edges = edges[order]
    tps, fps = positives[order].cumsum(), negatives[order].cumsum()
    last = np.flatnonzero(np.r_[edges[1:] != edges[:-1], True])
    f1 = 2 * tps[last] / (tps[last] + fps[last] + tps[-1])
    return float(edges[last[np.argmax(f1)]])
