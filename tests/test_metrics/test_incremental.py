"""Average precision over classes, groups and steps."""

import warnings

import numpy as np
import pytest

from mmood.metrics.detection import EmptySetWarning
from mmood.metrics.incremental import class_ap, forgetting, group_means
from mmood.metrics.voc import match_class
from voc_helpers import image, random_images

BOX, FAR = (0, 0, 10, 10), (50, 50, 70, 70)
IOUS = [0.5, 0.75, 0.9]
NAN = float('nan')


@pytest.mark.parametrize('style', ['area', '11points'])
def test_class_ap_is_that_of_each_class_at_each_iou(style):
    images = random_images(0, count=40)
    result = class_ap(images, 4, IOUS, style)
    expected = [
        [match_class(images, c, i).average_precision(style) for c in range(4)]
        for i in IOUS
    ]
    np.testing.assert_allclose(result, expected)
    assert (result[0] > result[1]).all() and (result[1] > result[2]).all()


def test_class_ap_over_iou_in_closed_form():
    """IoU 0.8 with the only object, and a class that is never detected."""
    images = [image([((0, 0, 10, 8), 0.9, 0)], [(BOX, 0, 0), (FAR, 1, 0)])]
    result = class_ap(images, 3, IOUS)
    expected = [[1, 0, NAN], [1, 0, NAN], [0, 0, NAN]]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize('images', [[], [image()], [image([(BOX, 0.9, 0)])]])
def test_class_ap_without_objects(images):
    np.testing.assert_array_equal(class_ap(images, 2, [0.5]), [[NAN, NAN]])
    assert class_ap([image()], 0, IOUS).shape == (3, 0)


def test_class_ap_beside_objects_of_the_label_unknown():
    """They are no class; detections on them stay false positives."""
    box = (0, 0, 10, 10)
    images = [
        image([(box, 0.9, 0), (FAR, 0.8, 0)], [(FAR, 0, 0), (box, 2, 0)])
    ]
    result = class_ap(images, 2, [0.5], 'area', unknown=True)
    np.testing.assert_array_equal(result, [[0.5, NAN]])
    with pytest.raises(ValueError, match='must be 0 to 1, got 2'):
        class_ap(images, 2, [0.5])


def test_group_means():
    ap = np.array([0.2, 0.4, NAN, 0.9])
    groups = dict(old=[0, 1], new=[3, 2], next=[], all=range(4))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        result = group_means(ap, groups)
    assert result == pytest.approx(dict(old=0.3, new=0.9, all=0.5))


def test_a_group_without_objects_is_nan():
    with pytest.warns(EmptySetWarning, match="group 'new' has objects"):
        result = group_means([0.5, NAN], dict(old=[0], new=[1]))
    assert result['old'] == 0.5 and np.isnan(result['new'])


def test_forgetting():
    before, after = [0.9, 0.6, NAN, 0.1], [0.5, 0.7, 0.3, 0.8]
    assert forgetting(before, after, [0, 1]) == pytest.approx(0.15)
    assert forgetting(before, after, [0, 1, 2]) == pytest.approx(0.15)
    # Without interference, and for the better.
    assert forgetting(before, before, [0, 1]) == 0
    assert forgetting(before, after, [3]) == pytest.approx(-0.7)
    for old in ([], [2]):
        with pytest.warns(EmptySetWarning, match='no class of old'):
            assert np.isnan(forgetting(before, after, old))


def test_bad_arguments_are_named():
    one = image([], [((0, 0, 9, 9), 2, 0)])
    with pytest.raises(ValueError, match='gt_labels must be 0 to 1, got 2 in'):
        class_ap([image(), one], 2, [0.5])
    with pytest.raises(ValueError, match=r'ap must hold .* got \(1, 2\)'):
        group_means([[0.1, 0.2]], dict(new=[0]))
    with pytest.raises(ValueError, match=r"group 'new' .*\[2\].* 0 to 1"):
        group_means([0.1, 0.2], dict(new=[1, 2]))
    with pytest.raises(ValueError, match=r'old has the classes \[-1\]'):
        forgetting([0.1], [0.2], [-1])
    with pytest.raises(ValueError, match=r'before has shape \(1,\), after'):
        forgetting([0.1], [0.2, 0.3], [0])
    with pytest.raises(ValueError, match="style .*got 'coco'"):
        class_ap([], 2, [0.5], 'coco')
