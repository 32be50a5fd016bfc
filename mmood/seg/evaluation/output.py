"""What goes into the pixel measures and what they look like.

Shapes: H x W pixels of a label, h x w of a score map.
"""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from mmood.metrics import ScoreHistogram
from mmood.visualization import plot_counted_curves

from .components import COUNTS, PERCENT, SHARES
from .measures import COLUMNS


def fit_map(
    score: Tensor, shape: tuple[int, int], mode: str, name: str, key: str
) -> np.ndarray:
    """A map in the label's size, as float32; errors name the image."""
    height, width = shape
    score = score.detach().float()
    if tuple(score.shape) != tuple(shape):
        ratio = score.shape[0] * width / (score.shape[1] * height)
        if not 0.98 < ratio < 1.02:
            raise ValueError(
                f'{name}: the label is {height} x {width}, the {key} map '
                f'{score.shape[0]} x {score.shape[1]}; label and image must '
                'show the same'
            )
        score = F.interpolate(score[None, None], (height, width), mode=mode)[
            0, 0
        ]
    return score.cpu().numpy()


def predicted_classes(sample: Mapping) -> np.ndarray | None:
    """The numbers (H, W) of the predicted classes, if there are any."""
    if 'pred_sem_seg' not in sample:
        return None
    return sample['pred_sem_seg']['data'][0].cpu().numpy()


def report(
    metrics: Mapping[str, float], keys: Sequence[tuple[str, str]]
) -> str:
    """Table of the pixel measures of (set, score), in %.

    With mean and deviation of the resampling in brackets, if there are.
    """
    table = []
    for origin, score in keys:
        cells = []
        for column in COLUMNS:
            name = f'{origin}/{score}/{column}'
            cell = f'{100 * metrics[name]:.2f}'
            if f'{name}_mean' in metrics:
                mean, std = metrics[f'{name}_mean'], metrics[f'{name}_std']
                cell += f' ({100 * mean:.1f} ± {100 * std:.1f})'
            cells.append(cell)
        table.append([origin, score, *cells])
    return _tabulate(table, COLUMNS)


def report_components(
    found: Mapping[tuple[str, str], Mapping[str, float]],
) -> str:
    """Table of the component measures of (set, score).

    Shares in %, and true positives, false negatives and false positives.
    """
    groups = [[f'{name}@{t}' for name in COUNTS] for t in PERCENT]
    table = []
    for key, row in found.items():
        cells = [f'{100 * row[name]:.2f}' for name in SHARES]
        for group in groups:
            cells.append(' / '.join(f'{row[name]:.0f}' for name in group))
        table.append([*key, *cells])
    counts = [f'{" / ".join(COUNTS)} @{t}' for t in PERCENT]
    return _tabulate(table, (*SHARES, *counts))


def plot_sets(
    folder: str, sets: Mapping[tuple[str, str], ScoreHistogram]
) -> None:
    """``curves_SET.png`` of all scores of a set, by (set, score)."""
    for origin in {origin for origin, _ in sets} - {'id'}:
        curves = {
            score: histogram.curve()[1:]
            for (o, score), histogram in sets.items()
            if o == origin
            and histogram.num_positive
            and histogram.num_negative
        }
        if curves:
            path = osp.join(folder, f'curves_{origin}.png')
            plot_counted_curves(curves, path, origin)


def _tabulate(table: list, columns: Sequence[str]) -> str:
    if not table:
        return ''
    headers = ('OOD set', 'score', *columns)
    return tabulate(table, headers, 'github', disable_numparse=True)
