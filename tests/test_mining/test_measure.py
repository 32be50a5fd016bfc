"""Purity and recall, by hand."""

import json

import numpy as np
import pytest

from mmood.mining import NOT_GROUPED, Truth, measure_groups

# Of each image: class, corner of an object of 10 x 10 pixels.
OBJECTS = [
    [('cow', 0), ('cow', 20), ('dog', 40)],
    [('cow', 0), ('horse', 20)],
    [('horse', 0), ('crowd', 20)],
]


@pytest.fixture
def truth(tmp_path):
    names = ['cow', 'dog', 'horse', 'crowd']
    images = [
        dict(id=i, file_name=f'{i}.png', width=64, height=64)
        for i in range(len(OBJECTS))
    ]
    annotations = [
        dict(
            image_id=i,
            category_id=names.index(name),
            bbox=[x, 0, 10, 10],
            iscrowd=int(name == 'crowd'),
        )
        for i, objects in enumerate(OBJECTS)
        for name, x in objects
    ]
    categories = [dict(id=i, name=name) for i, name in enumerate(names)]
    path = tmp_path / 'truth.json'
    path.write_text(
        json.dumps(
            dict(images=images, annotations=annotations, categories=categories)
        )
    )
    return Truth(path)


def box(x, shift=0.0):
    return [x + shift, 0, x + 10 + shift, 10]


def test_boxes_show_what_they_overlap_by_half(truth):
    names = ['0.png', '0.png', '0.png', '2.png', 'other.png']
    boxes = np.array([box(20, 3), box(20, 4), box(40), box(20), box(0)])
    classes, objects = truth.matched(names, boxes)
    nothing = 'background'
    assert classes == ['cow', nothing, 'dog', nothing, nothing]
    assert objects == [('0.png', 1), None, ('0.png', 2), None, None]


def test_purity_and_recall(truth):
    found = [
        # name, x, group
        ('0.png', 0, 0),  # cow
        ('0.png', 20, 0),  # cow
        ('1.png', 20, 0),  # horse among cows
        ('1.png', 50, 0),  # background among cows
        ('0.png', 40, 1),  # dog, known
        ('2.png', 0, NOT_GROUPED),  # horse
    ]
    names = [name for name, *_ in found]
    boxes = np.array([box(x) for _, x, _ in found])
    labels = np.array([group for *_, group in found])
    got = measure_groups(truth, names, boxes, labels, ['cow', 'horse'])
    expected = dict(
        boxes=6,
        groups=2,
        grouped=5 / 6,
        unknown_boxes=4 / 6,
        purity=3 / 5,
        object_purity=2 / 3,
        found=4 / 5,
        recall=(2 / 3 + 0) / 2,
    )
    assert got.pop('recalls') == pytest.approx(dict(cow=2 / 3, horse=0))
    assert got == pytest.approx(expected)


def test_nothing_found_and_nothing_to_find(truth):
    none = np.zeros((0, 4)), np.zeros(0, int)
    got = measure_groups(truth, [], *none, ['cow', 'zebra'])
    assert got['found'] == 0 and got['recalls']['cow'] == 0
    assert np.isnan(
        [got['purity'], got['grouped'], got['recalls']['zebra']]
    ).all()
    assert got['recall'] == 0
