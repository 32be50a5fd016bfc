"""Counts of a generation run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping


def summarise(records: Iterable[Mapping], wanted: int | None) -> dict:
    """Counts over the records of all selected images.

    ``discarded`` counts paintings, by the filter that sent them back or
    'refused'; ``given_up`` the objects whose last attempt was discarded;
    ``skipped`` the objects that were not tried, by reason.
    """
    records = list(records)
    failed = [record for record in records if 'error' in record]
    good = [record for record in records if 'error' not in record]
    painted = sum(record['image'] is not None for record in good)
    discarded: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    covered = given_up = 0
    for record in good:
        skipped.update(record['skipped'])
        discarded.update(item['reason'] for item in record['discarded'])
        given_up += record['given_up']
        for annotation in record['annotations']:
            covered += 'covered' in annotation
            if annotation['ood']:
                classes[annotation['provenance']['label']] += 1
    return dict(
        images=dict(
            wanted=wanted,
            selected=len(records),
            painted=painted,
            unchanged=len(good) - painted,
            failed=len(failed),
        ),
        objects=dict(
            painted=sum(classes.values()),
            given_up=given_up,
            covered=covered,
            skipped=dict(sorted(skipped.items())),
        ),
        discarded=dict(sorted(discarded.items())),
        painted_of_class=dict(sorted(classes.items())),
        hours=sum(record['seconds'] for record in good) / 3600,
        failures=[dict(id=r['id'], error=r['error']) for r in failed],
    )


def format_report(report: Mapping) -> str:
    """The report in lines, the failures at the end."""
    images, objects = report['images'], report['objects']
    lines = [
        f'images: {images["painted"]} painted, {images["unchanged"]} '
        f'unchanged and not written, {images["failed"]} failed',
        f'objects: {objects["painted"]} painted, {objects["given_up"]} given '
        f'up, {objects["covered"]} covered by a painted one',
        f'objects not tried: {_counts(objects["skipped"])}',
        f'paintings discarded: {_counts(report["discarded"])}',
    ]
    wanted = images['wanted']
    if wanted is not None and wanted > images['selected']:
        lines.append(
            f'only {images["selected"]} of the {wanted} images asked for '
            'have an object to paint'
        )
    if not objects['painted']:
        lines.append('no object was painted')
    failures = [f'  {item["error"]}' for item in report['failures']]
    if failures:
        lines += [f'failed images ({len(failures)}):', *failures]
    return '\n'.join(lines)


def _counts(counts: Mapping) -> str:
    return ', '.join(f'{n} {name}' for name, n in counts.items()) or 'none'
