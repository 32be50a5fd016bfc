"""Names of groups and corrected boxes against counts made by hand."""

from __future__ import annotations

import json

import pytest
from annotator import corrected, names_of_groups, shown_classes

from mmood.mining import Truth

# Group of each box and what it shows.
BOXES = [
    *((0, name) for name in ('gear', 'gear', 'comb', 'bus', 'background')),
    *((1, name) for name in ('comb', 'comb', 'tree')),
    *((2, name) for name in ('bus', 'bus', 'gear', 'gear', 'bus')),
    *((3, name) for name in ('background', 'background', 'tree')),
    (4, 'tree'),
    *((-1, name) for name in ('bolt', 'bolt', 'bolt', 'bolt')),
]
SHOWN = [name for _, name in BOXES]
CATEGORIES = ['unknown', 'background', 'known: bus']


@pytest.fixture
def mined() -> dict:
    boxes = [
        dict(
            id=i,
            image_id=1,
            category_id=1,
            bbox=[20.0 * i, 0.0, 10.0, 10.0],
            attributes=dict(group=group),
        )
        for i, (group, _) in enumerate(BOXES)
    ]
    return dict(
        info=dict(classes=['bus']),
        images=[dict(id=1, file_name='a.png', width=900, height=20)],
        annotations=boxes,
        categories=[dict(id=i, name=n) for i, n in enumerate(CATEGORIES, 1)],
    )


def test_groups_of_the_most_boxes_are_named(mined):
    assert names_of_groups(mined, SHOWN, 1) == {0: 'gear'}
    assert names_of_groups(mined, SHOWN, 2) == {0: 'gear', 1: 'comb'}
    three = {0: 'gear', 1: 'comb', 4: 'tree'}
    assert names_of_groups(mined, SHOWN, 3) == three
    with pytest.raises(ValueError, match='show 3 new classes, and 4 are'):
        names_of_groups(mined, SHOWN, 4)


def test_boxes_of_named_groups_are_put_right(mined):
    content, changed = corrected(mined, SHOWN, {0: 'gear', 1: 'comb'})
    assert changed == 4
    names = {c['id']: c['name'] for c in content['categories']}
    found = [names[a['category_id']] for a in content['annotations']]
    assert found == [
        *('gear', 'gear', 'comb', 'known: bus', 'background'),
        *('comb', 'comb', 'unknown'),
        *['unknown'] * 13,
    ]
    assert {a['category_id'] for a in mined['annotations']} == {1}


def test_what_a_box_shows(mined, tmp_path):
    """The object that it overlaps by half at least."""
    boxes = {0: (2.0, 'gear'), 1: (6.0, 'comb')}
    truth = dict(
        images=[dict(id=5, file_name='a.png', width=900, height=20)],
        annotations=[
            dict(
                id=i,
                image_id=5,
                category_id=1 + i,
                bbox=[20.0 * i + shift, 0.0, 10.0, 10.0],
            )
            for i, (shift, _) in boxes.items()
        ],
        categories=[dict(id=1, name='gear'), dict(id=2, name='comb')],
    )
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(truth))
    shown = shown_classes(mined, Truth(path))
    assert shown == ['gear', *['background'] * (len(BOXES) - 1)]
