"""Groups of classes and their average precision, by hand."""

import math

import pytest

from mmood.det.evaluation.class_groups import (
    check_groups,
    group_labels,
    group_measures,
)
from voc_helpers import image

BOX, FAR = (0, 0, 10, 10), (50, 50, 70, 70)


def test_groups_are_checked():
    assert check_groups(dict(old=['a'], new=[])) == dict(old=['a'], new=[])
    for wrong in ({}, dict(old=[], new=[]), dict(old=['a'], new=['a'])):
        with pytest.raises(ValueError, match='must hold classes, each once'):
            check_groups(wrong)


def test_labels_are_places_among_the_classes():
    groups = dict(old=['b'], new=['c', 'a'])
    assert group_labels(groups, ('a', 'b', 'c')) == dict(old=[1], new=[2, 0])
    with pytest.raises(ValueError, match=r"\['d'\], which are not in"):
        group_labels(dict(old=['d']), ('a', 'b'))


def test_an_iou_of_0_8_and_a_class_that_is_missed():
    """At six of the ten IoUs, 0.5 to 0.75, the box counts."""
    images = [image([((0, 0, 10, 8), 0.9, 0)], [(BOX, 0, 0), (FAR, 1, 0)])]
    groups = dict(old=['a'], new=['b'], later=[])
    found = group_measures(images, groups, ('a', 'b', 'c'), 'area')
    assert found == pytest.approx(
        {
            'AP': 30, 'AP50': 50, 'AP75': 50,
            'old/AP': 60, 'old/AP50': 100, 'old/AP75': 100,
            'new/AP': 0, 'new/AP50': 0, 'new/AP75': 0,
            'AP50/a': 100, 'AP50/b': 0, 'AP75/a': 100, 'AP75/b': 0,
        }
    )  # fmt: skip


def test_unknown_objects_are_no_class():
    images = [image([(BOX, 0.9, 2)], [(BOX, 2, 0), (FAR, 0, 0)])]
    groups = dict(old=['a'], new=['b'])
    with pytest.warns(UserWarning, match="group 'new' has objects"):
        found = group_measures(images, groups, ('a', 'b'), 'area', True)
    assert found['AP50'] == found['old/AP50'] == 0
    assert math.isnan(found['new/AP50'])
    with pytest.raises(ValueError, match='must be 0 to 1, got 2'):
        group_measures(images, groups, ('a', 'b'), 'area')
