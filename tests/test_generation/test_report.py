"""Counts over records, and their text."""

from mmood.generation.report import format_report, summarise


def annotation(ood, label='cat', **fields):
    provenance = dict(provenance=dict(label=label)) if ood else {}
    return dict(ood=ood, **provenance, **fields)


def record(*annotations, skipped=None, discarded=(), given_up=0):
    painted = any(a['ood'] for a in annotations)
    return dict(
        id=1,
        image={} if painted else None,
        annotations=annotations,
        skipped=skipped or {},
        discarded=[dict(reason=reason) for reason in discarded],
        given_up=given_up,
        seconds=1800,
    )


FOUND = [
    record(annotation(1), annotation(1, 'dog'), skipped=dict(small=3)),
    record(
        annotation(1, 'dog'),
        annotation(0, covered=0.7, iscrowd=1),
        annotation(0),
        skipped=dict(small=1, crowd=2),
        discarded=['too_close', 'refused', 'too_close'],
        given_up=1,
    ),
    record(annotation(0), discarded=['too_close'], given_up=1),
    dict(id=9, image=None, error='a.jpg does not exist'),
]


def test_counts():
    assert summarise(FOUND, 6) == dict(
        images=dict(wanted=6, selected=4, painted=2, unchanged=1, failed=1),
        objects=dict(
            painted=3, given_up=2, covered=1, skipped=dict(crowd=2, small=4)
        ),
        discarded=dict(refused=1, too_close=3),
        painted_of_class=dict(cat=1, dog=2),
        hours=1.5,
        failures=[dict(id=9, error='a.jpg does not exist')],
    )


def test_text_ends_with_the_failures():
    assert format_report(summarise(FOUND, 6)).split('\n') == [
        'images: 2 painted, 1 unchanged and not written, 1 failed',
        'objects: 3 painted, 2 given up, 1 covered by a painted one',
        'objects not tried: 2 crowd, 4 small',
        'paintings discarded: 1 refused, 3 too_close',
        'only 4 of the 6 images asked for have an object to paint',
        'failed images (1):',
        '  a.jpg does not exist',
    ]


def test_nothing_painted_is_said():
    report = summarise([record(annotation(0))], None)
    assert format_report(report).split('\n') == [
        'images: 0 painted, 1 unchanged and not written, 0 failed',
        'objects: 0 painted, 0 given up, 0 covered by a painted one',
        'objects not tried: none',
        'paintings discarded: none',
        'no object was painted',
    ]
    assert summarise([], None)['images']['selected'] == 0
