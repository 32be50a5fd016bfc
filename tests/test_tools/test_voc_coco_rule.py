"""The rule of VOC-COCO: classes, published counts and the draw."""

import importlib
import random
import sys
from pathlib import Path

import pytest

from voc_coco_helpers import COCO_CLASSES, IMAGES, image_ids, make_coco

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
voc, rule = map(importlib.import_module, ('voc', 'voc_coco_rule'))


def test_groups_are_the_classes_of_coco_that_voc_does_not_have():
    assert [len(group) for group in rule.GROUPS] == [20, 20, 20]
    unknown = set().union(*rule.GROUPS)
    assert len(unknown) == 60
    assert unknown | set(voc.CLASSES) == set(COCO_CLASSES)
    assert rule.GROUPS[0][0] == 'truck' and rule.GROUPS[2][-1] == 'bowl'


def test_published_counts_with_the_images_of_voc():
    totals = [count + 4952 for count in rule.PUBLISHED.values()]
    expected = [9952, 14284, 19952, 7452, 9952, 14952, 24952]
    assert totals == expected
    published = rule.published_images
    assert published([1, 2], False, None, 17) == 9332
    assert published([1, 2], False, 500, 9332) is None
    assert published([2], False, None, 5000) is None
    assert published([1, 2, 3], True, None, 2500) == 2500
    assert published([1, 2, 3], True, None, 2499) is None
    assert published((), False, 5000, 5000) is None


def allowed(images, **kwargs):
    coco = make_coco(*images)
    return rule.allowed_images(coco, rule.make_rule(coco, **kwargs))


@pytest.mark.parametrize(
    'groups, without_known, expected',
    [
        ((1,), False, {1, 2}),
        ((1, 2), False, {1, 2, 3, 8}),
        ((2,), False, {8}),
        ((1, 2, 3), False, {1, 2, 3, 5, 8}),
        ((1, 2, 3), True, {1, 3, 8}),
    ],
)
def test_images_that_may_be_drawn(groups, without_known, expected):
    unknown = [name for group in groups for name in rule.GROUPS[group - 1]]
    kwargs = dict(unknown=unknown, without_known=without_known)
    assert allowed(IMAGES, **kwargs) == expected


def test_barred_classes_may_be_others_or_none():
    assert allowed(IMAGES, unknown=['bench', 'truck'], barred=['car']) == {
        1,
        4,
    }
    assert allowed(IMAGES, unknown=['bench'], barred=[]) == {4}


def test_rule_agrees_with_a_search_by_name():
    rng = random.Random(0)
    images = [
        [rng.choice(COCO_CLASSES) for _ in range(rng.randint(0, 3))]
        for _ in range(400)
    ]
    unknown = set(rule.GROUPS[0] + rule.GROUPS[1])
    expected = {
        number
        for number, of in enumerate(images, 1)
        if unknown & set(of)
        and 'person' not in of
        and not set(rule.GROUPS[2]) & set(of)
    }
    assert 40 < len(expected) < 360
    assert allowed(images, unknown=sorted(unknown)) == expected


@pytest.mark.parametrize(
    'argument, names, message',
    [
        ('unknown', ['benhc'], "--classes: 'benhc' is no.*close: bench"),
        ('unknown', ['xxxxxx'], 'nothing close; it has airplane, apple'),
        ('known', ['dgo'], "--known: 'dgo' is no.*close: dog"),
        ('barred', ['persona'], "--barred: 'persona' is no.*close: person"),
        ('unknown', ['bench', 'aeroplane'], 'airplane cannot also be known'),
        ('barred', ['bench'], 'bench cannot also be barred'),
    ],
)
def test_class_names_that_cannot_be_meant(argument, names, message):
    kwargs = {'unknown': ['bench'], argument: names}
    with pytest.raises(SystemExit, match=message):
        rule.make_rule(make_coco([]), **kwargs)


@pytest.mark.parametrize(
    'draws, counts',
    [(6, (4, 2)), (7, (4, 2)), (8, (5, 2)), (15, (10, 5)), (99, (10, 5))],
)
def test_the_same_share_of_every_class_is_drawn(draws, counts):
    lists = {'b': list(range(10)), 'a': list(range(50, 55))}
    drawn = rule.draw_share(lists, draws, random.Random(0))
    split = (
        len([i for i in drawn if i < 10]),
        len([i for i in drawn if i > 9]),
    )
    assert split == counts


def test_draws_of_nothing():
    assert rule.draw_share({}, 5, random.Random(0)) == set()
    assert rule.draw_share({'a': [1] * 9}, 5, random.Random(0)) == {1}


def test_objects_are_drawn_and_not_images():
    """An image of 100 benches is always in, others half of the time.

    60 images: 96 of 200 objects, most of them of this image, so the images
    drawn are fewer than 60 and all taken.
    """
    coco = make_coco(['bench'] * 100, *[['bench']] * 100)
    everything = set(image_ids(coco))
    sets = [
        rule.draw_images(coco, everything, 60, True, seed)
        for seed in range(20)
    ]
    assert all(1 in drawn for drawn in sets)
    mean = sum(len(drawn) - 1 for drawn in sets) / len(sets)
    assert mean == pytest.approx(48, abs=4)
    plain = [
        rule.draw_images(coco, everything, 60, False, seed)
        for seed in range(20)
    ]
    assert {len(drawn) for drawn in plain} == {60}
    assert not all(1 in drawn for drawn in plain)


def test_a_seed_gives_one_set_and_nothing_else_is_drawn():
    coco = make_coco(*[['bench', 'car']] * 60)
    ids = set(range(1, 51))
    first, again, other = (
        rule.draw_images(coco, ids, 20, True, seed) for seed in (3, 3, 4)
    )
    assert len(first) == 20 and first <= ids
    assert first == again != other
    assert rule.draw_images(coco, ids, 90, False, 0) == ids
