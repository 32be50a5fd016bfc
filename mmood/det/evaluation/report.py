"""What `OODDetMetric` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from mmood.metrics.remarks import aurocs_by_set, separation_remarks

from .more_measures import COUNTS, MATCHED, OF_ID, OF_SETS

_BASE = ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged')


def box_report(
    metrics: Mapping[str, float],
    sets: Sequence[str],
    names: Sequence[str],
    protocol: str,
) -> str:
    """The tables of OOD sets and scores, for the measures that there are."""
    parts = [
        f'ID mAP {100 * metrics["bbox_mAP"]:.1f}, boxes count from a '
        f'confidence of {metrics["score_threshold"]:.4f}'
    ]
    if sets and names:
        parts[0] += f', protocol {protocol}, in %'
        parts.append(_table(metrics, sets, names, (*_BASE, *MATCHED)))
    if 'AP_K' in metrics:
        parts.append(
            'Open set, boxes beyond the threshold of their score being '
            f'unknown, in %, AOSE a count; AP_K {100 * metrics["AP_K"]:.2f} '
            'without'
        )
        if sets and names:
            parts.append(_table(metrics, sets, names, OF_SETS))
        if names:
            parts.append(_table(metrics, ['id'], names, OF_ID))
    shares = {k: v for k, v in metrics.items() if k.startswith('calibration/')}
    if shares:
        found = [f'{k.partition("/")[2]} {v:.4f}' for k, v in shares.items()]
        parts.append(f'Calibration of the ID boxes: {", ".join(found)}')
    return '\n'.join([*parts, *separation_remarks(aurocs_by_set(metrics))])


def _table(
    metrics: Mapping[str, float],
    sets: Sequence[str],
    names: Sequence[str],
    columns: Sequence[str],
) -> str:
    """A row for each set and score, with those columns that it has."""
    columns = [c for c in columns if f'{sets[0]}/{names[0]}/{c}' in metrics]
    rows = [
        [origin, name]
        + [
            metrics[f'{origin}/{name}/{c}'] * (1 if c in COUNTS else 100)
            for c in columns
        ]
        for origin in sets
        for name in names
    ]
    formats = ['', '', *('.0f' if c in COUNTS else '.2f' for c in columns)]
    side = 'ID set' if sets == ['id'] else 'OOD set'
    return tabulate(rows, (side, 'score', *columns), 'github', formats)
