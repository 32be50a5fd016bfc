"""ROC curves and score histograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmood.ops import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_roc_and_histogram(
    id_scores: np.ndarray,
    ood_scores: Mapping[str, np.ndarray],
    path: str,
    title: str = '',
) -> None:
    """Write a PNG: ROC (OOD positive) on the left, histograms on the right.

    Scores are (n,), higher is more OOD, one array per OOD set by name. The
    file appears whole or not at all. Empty sets are named, not drawn. So are
    infinite scores in the histogram (the ROC curve has them at its ends) and
    nan anywhere: the legend counts them.
    """
    from sklearn.metrics import roc_curve

    figure = _figure()
    roc, hist = figure.subplots(1, 2)
    bins = _bins(np.concatenate([id_scores, *ood_scores.values()]))
    _histogram(hist, id_scores, bins, 'ID', 'tab:blue')
    colors = ('tab:orange', 'tab:green', 'tab:red', 'tab:purple')
    for i, (name, scores) in enumerate(ood_scores.items()):
        color = colors[i % len(colors)]
        _histogram(hist, scores, bins, name, color)
        sides = [s[~np.isnan(s)] for s in (id_scores, scores)]
        if all(len(side) for side in sides):
            is_ood = np.repeat([0, 1], [len(side) for side in sides])
            # Ranks, since infinite scores are refused by scikit-learn.
            _, ranks = np.unique(np.concatenate(sides), return_inverse=True)
            fpr, tpr, _ = roc_curve(is_ood, ranks)
            roc.plot(fpr, tpr, label=name, color=color)
    roc.plot([0, 1], [0, 1], color='0.7', linestyle=':', label='chance')
    roc.set(
        xlabel='ID boxes called OOD', ylabel='OOD boxes found', title=title
    )
    hist.set(xlabel='OOD score', ylabel='share of boxes')
    roc.legend(loc='lower right')
    hist.legend(loc='upper right')
    with atomic_write(path, 'wb') as file:
        figure.savefig(file, format='png', dpi=120)


def _figure() -> Figure:
    """A figure for two axes; matplotlib is imported when one is drawn."""
    from matplotlib.figure import Figure

    return Figure(figsize=(9, 4), layout='constrained')


def _bins(scores: np.ndarray) -> np.ndarray:
    """Edges of up to 50 bins of the finite scores, as far as they differ."""
    scores = scores[np.isfinite(scores)].astype(np.float64)
    low, high = (scores.min(), scores.max()) if len(scores) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.unique(np.linspace(low, high, 51))
    if len(edges) > 1:
        return edges
    return np.array([low, np.nextafter(low, np.inf)])


def _histogram(axes, scores, bins, name: str, color: str) -> None:
    counts = dict(infinite=np.isinf(scores).sum(), nan=np.isnan(scores).sum())
    notes = [f'{count} {kind}' for kind, count in counts.items() if count]
    label = f'{name} ({", ".join([str(len(scores)), *notes])})'
    finite = scores[np.isfinite(scores)]
    weights = np.full(len(finite), 1 / max(len(scores), 1))
    axes.hist(
        finite, bins, weights=weights, alpha=0.5, label=label, color=color
    )


def plot_counted_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: str,
    title: str = '',
) -> None:
    """Write a PNG: ROC on the left, precision and recall on the right.

    ``curves`` has, per score, the numbers of true and of false positives
    (B,) at falling thresholds, as `ScoreHistogram.curve` gives them, both
    above zero at the end. The file appears whole or not at all.
    """
    figure = _figure()
    roc, recall = figure.subplots(1, 2)
    for name, (tps, fps) in curves.items():
        tprs, fprs = tps / tps[-1], fps / fps[-1]
        roc.plot([0, *fprs], [0, *tprs], label=name)
        recall.plot(tprs, tps / (tps + fps), label=name)
    roc.plot([0, 1], [0, 1], color='0.7', linestyle=':', label='chance')
    roc.set(xlabel='ID pixels called OOD', ylabel='OOD pixels found')
    recall.set(xlabel='recall', ylabel='precision', ylim=(0, 1))
    roc.set_title(title)
    roc.legend(loc='lower right')
    with atomic_write(path, 'wb') as file:
        figure.savefig(file, format='png', dpi=120)
