"""Images and their objects, by hand."""

from __future__ import annotations

import pytest
from owod_pictures import Picture, draw_stored, pictures_of, showing

BOX = (1.0, 2.0, 4.0, 6.0)


def coco_of(*images, names=('dog', 'tvmonitor', 'newt')):
    """An image of each list of category ids; negative: a crowd."""
    annotations = [
        dict(
            image_id=i,
            category_id=abs(category),
            bbox=[1, 2, 3, 4],
            iscrowd=int(category < 0),
        )
        for i, of_image in enumerate(images, 1)
        for category in of_image
    ]
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=9, height=8)
            for i in range(1, len(images) + 1)
        ],
        annotations=annotations,
        categories=[dict(id=i, name=n) for i, n in enumerate(names, 1)],
    )


def picture(name, *classes, mark=0):
    return Picture(name, 9, 8, tuple((c, BOX, mark) for c in classes))


def test_classes_go_by_the_protocols_names():
    found = pictures_of(coco_of([1, 2], []), ['tv', 'dog'], 'a/b')
    assert found == [picture('a/b/1.jpg', 'dog', 'tv'), picture('a/b/2.jpg')]
    assert found[0].names == {'dog', 'tv'}


@pytest.mark.parametrize(
    ('crowd', 'expected'),
    [
        ('keep', [('dog', 0), ('tv', 0)]),
        ('ignore', [('dog', 1), ('tv', 0)]),
        ('drop', [('tv', 0)]),
    ],
)
def test_crowds_are_kept_marked_or_left_out(crowd, expected):
    (one,) = pictures_of(coco_of([-1, 2]), ['dog', 'tv'], '', crowd)
    assert [(name, mark) for name, _, mark in one.objects] == expected


def test_classes_of_no_task():
    coco = coco_of([1, 3, 2])
    with pytest.raises(SystemExit, match='newt, tvmonitor are in no task'):
        pictures_of(coco, ['dog'])
    (dropped,) = pictures_of(coco, ['dog'], others='drop')
    (unknown,) = pictures_of(coco, ['dog'], others='unknown')
    assert dropped.names == {'dog'}
    assert unknown.names == {'dog', 'newt', 'tvmonitor'}
    # A category without an object is no class of the file.
    assert pictures_of(coco_of([1]), ['dog'])[0].names == {'dog'}


def test_showing():
    a, b, none = picture('a', 'dog', 'cat'), picture('b', 'tv'), picture('c')
    assert showing([a, b, none], ['cat', 'newt']) == [a]
    assert showing([a, b, none], None) == [a, b]
    assert showing([], ['cat']) == []


def test_the_store_has_so_many_of_each_class():
    dogs = [picture(f'd{i}', 'dog') for i in range(9)]
    cats = [picture(f'c{i}', 'cat', 'dog') for i in range(3)]
    crowd = picture('crowd', 'cat', mark=1)
    every = [*cats, crowd, *dogs]
    stored = draw_stored(every, ['dog', 'cat'], 4)
    assert set(stored) >= {'c0', 'c1', 'c2'} and 'crowd' not in stored
    assert 4 <= len(stored) <= 7
    assert all(
        stored[p.file_name] is p for p in every if p.file_name in stored
    )
    # Neither the order of the file nor of the classes matters; the seed does.
    again = draw_stored(every[::-1], ['cat', 'dog'], 4)
    assert set(again) == set(stored)
    others = {
        frozenset(draw_stored(every, ['dog'], 4, seed)) for seed in range(5)
    }
    assert len(others) > 1 and all(len(other) == 4 for other in others)
