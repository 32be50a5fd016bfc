"""Average precision over groups of classes, as metrics report it.

Shapes: K classes of the metainfo, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmood.metrics.image_detections import ImageDetections
from mmood.metrics.incremental import class_ap, group_means

_IOUS = np.arange(50, 100, 5) / 100


def check_groups(groups: Mapping[str, Sequence[str]]) -> dict:
    """Class names by group; ValueError if none, or one in two groups."""
    names = [name for group in groups.values() for name in group]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ValueError(
            f'groups must hold classes, each once, got {dict(groups)}'
            + (f' with {twice} more than once' if twice else '')
        )
    return dict(groups)


def group_labels(
    groups: Mapping[str, Sequence[str]], classes: Sequence[str]
) -> dict[str, list[int]]:
    """Labels of the classes of each group; ValueError for a strange one."""
    names = [name for group in groups.values() for name in group]
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ValueError(
            f'groups name the classes {unknown}, which are not in '
            f'metainfo.classes {list(classes)}; correct one of them'
        )
    return {
        group: [classes.index(name) for name in members]
        for group, members in groups.items()
    }


def group_measures(
    images: Sequence[ImageDetections],
    groups: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    style: str,
    unknown: bool = False,
) -> dict[str, float]:
    """``AP``, ``AP50`` and ``AP75`` in %, of all, of groups and of classes.

    ``AP`` is the mean over the IoUs 0.5, 0.55 ... 0.95; each is also there
    as ``<group>/AP``, and the last two as ``AP50/<class>``. A class without
    objects is nan and counts in no mean, a group without classes is left
    out. ``unknown``: objects and boxes may have the label K.
    """
    labels = group_labels(groups, classes)
    every = sorted(label for group in labels.values() for label in group)
    ap = 100 * class_ap(images, len(classes), list(_IOUS), style, unknown)
    curves = dict(AP=ap.mean(0), AP50=ap[0], AP75=ap[5])
    metrics = {
        key: group_means(values, dict(all=every))['all']
        for key, values in curves.items()
    }
    for key, values in curves.items():
        for group, mean in group_means(values, labels).items():
            metrics[f'{group}/{key}'] = mean
    for key in ('AP50', 'AP75'):
        for label in every:
            metrics[f'{key}/{classes[label]}'] = float(curves[key][label])
    return metrics
