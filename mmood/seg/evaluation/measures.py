"""Pixel measures of counted scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mmengine.logging import MMLogger

from mmood.metrics import ScoreHistogram, leave_group_out, protocol_rule

COLUMNS = ('AP', 'AUROC', 'FPR95', 'Fmax')


def pixel_measures(
    histogram: ScoreHistogram, protocol: str, tpr: float
) -> dict[str, float]:
    """AP, AUROC, FPR95 and Fmax by a protocol; OOD pixels are positive."""
    if protocol_rule(protocol).id_positive:
        histogram = histogram.flipped()
    return dict(
        AP=histogram.average_precision(protocol=protocol),
        AUROC=histogram.auroc(),
        FPR95=histogram.fpr_at_tpr(tpr, protocol),
        Fmax=histogram.best_f1()[0],
    )


def resampled_measures(
    groups: Sequence[ScoreHistogram], protocol: str, tpr: float
) -> dict[str, float]:
    """``..._mean`` and ``..._std`` of each over all groups but one."""
    row = {}
    for name in COLUMNS:
        row[f'{name}_mean'], row[f'{name}_std'] = leave_group_out(
            groups, partial(_measure, name, protocol, tpr)
        )
    return row


def _measure(
    name: str, protocol: str, tpr: float, histogram: ScoreHistogram
) -> float:
    return pixel_measures(histogram, protocol, tpr)[name]


def warn_one_sided(origin: str, histogram: ScoreHistogram) -> None:
    """Say which side of a set has no pixel, if one has none."""
    if histogram.num_positive and histogram.num_negative:
        return
    side = 'ID' if histogram.num_positive else 'OOD'
    if not histogram.num_positive and not histogram.num_negative:
        side = 'valid'
    MMLogger.get_current_instance().warning(
        f'{origin} has no {side} pixel: its measures are nan'
    )
