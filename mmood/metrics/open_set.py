"""Measures of open-set detection: known classes next to unknown objects.

Shapes: K known classes; label K stands for unknown.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from .detection import EmptySetWarning
from .image_detections import ImageDetections, check_labels
from .voc import RankedMatches, check_style, match_classes

WI_PROTOCOLS = ('opendet', 'definition')


def check_operating_point(recall: float, protocol: str) -> None:
    """Raise ValueError unless `wilderness_impact` takes these."""
    if protocol not in WI_PROTOCOLS:
        raise ValueError(
            f'protocol must be one of {WI_PROTOCOLS}, got {protocol!r}'
        )
    if not 0 < recall <= 1:
        raise ValueError(f'recall must be in (0, 1], got {recall}')


def wilderness_impact(
    matches: Sequence[RankedMatches],
    recall: float = 0.8,
    protocol: str = 'opendet',
) -> float:
    """How far unknown objects lower the precision of known classes, in %.

    ``matches`` of the known classes. Each class that has detections is cut
    at the first rank whose recall is nearest to ``recall`` (at the first
    rank if it has no object); the counts up to there are summed over them.
    ``'definition'``: ``100 (P_closed / P_open - 1) = 100 FP_o / (TP + FP_c)``
    with FP_o the false positives on unknown objects and FP_c the other ones.
    ``'opendet'``, the number that papers on open-set detection report: all
    detections on unknown objects over ``TP + FP_o + FP_c``.
    0 without detections, inf if nothing but unknown objects was found.

    Source: Dhamija et al., "The Overlooked Elephant of Object Detection:
    Open Set", WACV 2020; Han et al., "Expanding Low-Density Latent Regions
    for Open-Set Object Detection", CVPR 2022, public evaluation code.
    Raises ValueError for another protocol or a recall outside (0, 1].
    """
    check_operating_point(recall, protocol)
    impact = total = 0
    for match in matches:
        if not len(match.scores):
            continue
        kept = slice(int(np.argmin(np.abs(match.recall - recall))) + 1)
        tp, fp = match.is_tp[kept], match.is_fp[kept]
        on_unknown = match.on_unknown[kept]
        if protocol == 'opendet':
            impact += int(on_unknown.sum())
            total += int((tp | fp).sum())
        else:
            impact += int((fp & on_unknown).sum())
            total += int((tp | fp & ~on_unknown).sum())
    if not total:
        return float('inf') if impact else 0.0
    return 100.0 * impact / total


def absolute_open_set_error(matches: Sequence[RankedMatches]) -> int:
    """Number of detections of the known classes on unknown objects.

    Of all detections, at whatever score, also of those on difficult objects
    and of several on one.
    Source: Miller et al., "Dropout Sampling for Robust Object Detection in
    Open-Set Conditions", ICRA 2018.
    """
    return sum(int(match.on_unknown.sum()) for match in matches)


def normalized_open_set_error(
    matches: Sequence[RankedMatches], num_unknown: int
) -> float:
    """`absolute_open_set_error` per unknown object, in %; nan for none.

    Above 100 where several detections lie on an object.
    Source: Montoya et al., "FindMeIfYouCan", arXiv 2506.14008, 2025 (nOSE).
    """
    if not num_unknown:
        return float('nan')
    return 100.0 * absolute_open_set_error(matches) / num_unknown


def mean_measures(
    matches: Sequence[RankedMatches], style: str = 'area'
) -> list[float]:
    """AP, and precision and recall at the last rank, in %.

    Means over the classes that have objects; nan if none has.
    """
    rows = [_row(match, style) for match in matches if match.num_objects]
    if not rows:
        return [float('nan')] * 3
    return (100 * np.mean(rows, axis=0)).tolist()


def open_set_metrics(
    images: Sequence[ImageDetections],
    num_known: int,
    *,
    recall: float = 0.8,
    protocol: str = 'opendet',
    style: str = 'area',
    iou: float = 0.5,
    offset: float = 0.0,
) -> dict[str, float]:
    """WI, AOSE, nOSE and AP, precision and recall of known and unknown.

    ``mAP_K``, ``P_K`` and ``R_K`` are means over the known classes that have
    objects, ``AP_U``, ``P_U`` and ``R_U`` those of the label ``num_known``;
    precision and recall are at the last rank. All in %, ``AOSE`` a count
    (`absolute_open_set_error`). Without a known or an unknown object its
    measures are nan, with a warning that says so; WI and AOSE remain defined.
    Raises ValueError for a label outside 0 ... ``num_known`` and for what
    `wilderness_impact` and `voc_average_precision` refuse.
    """
    check_operating_point(recall, protocol)
    check_style(style)
    check_labels(images, num_known, unknown=True)
    labels = range(num_known + 1)
    every = match_classes(images, labels, [iou], num_known, offset)
    *known, unknown = [match for (match,) in every]
    metrics = dict(
        WI=wilderness_impact(known, recall, protocol),
        AOSE=absolute_open_set_error(known),
        nOSE=normalized_open_set_error(known, unknown.num_objects),
    )
    sides = dict(
        known=(['mAP_K', 'P_K', 'R_K'], known),
        unknown=(['AP_U', 'P_U', 'R_U'], [unknown]),
    )
    for side, (names, matches) in sides.items():
        metrics.update(zip(names, mean_measures(matches, style)))
        if not any(match.num_objects for match in matches):
            names += ['nOSE'] * (side == 'unknown')
            warnings.warn(
                f'no {side} object in {len(images)} images: '
                f'{", ".join(names)} are nan',
                EmptySetWarning,
                stacklevel=2,
            )
    return metrics


def _row(match: RankedMatches, style: str) -> list[float]:
    """AP, and precision and recall at the last rank, of a class."""
    average = match.average_precision(style)
    if not len(match.scores):
        return [average, 0.0, 0.0]
    return [average, float(match.precision[-1]), float(match.recall[-1])]
