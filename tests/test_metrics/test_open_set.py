"""WI, AOSE and AP of unknown objects on published and plain examples."""

import math
import warnings

import numpy as np
import pytest

from mmood.metrics.detection import EmptySetWarning
from mmood.metrics.open_set import (
    absolute_open_set_error,
    open_set_metrics,
    wilderness_impact,
)
from mmood.metrics.voc import match_classes
from voc_helpers import CAT, UNKNOWN, fmiyc_toy, golden, image, random_images
from voc_helpers import voc_rule as reference

BOX, FAR = (0, 0, 10, 10), (50, 50, 70, 70)


def known_matches(images, num_known):
    return [m for (m,) in match_classes(images, range(num_known), [0.5], 3)]


def plain_wi(rankings, objects, recall, protocol):
    """From the verdicts of each class, one rank after the other."""
    unknown, counted, closed = 0, 0, 0
    for ranking, number in zip(rankings, objects):
        best = None
        for rank in range(len(ranking)):
            words = [verdict for _, verdict, _ in ranking[: rank + 1]]
            distance = abs(words.count('tp') / number - recall)
            if best is None or distance < best[0]:
                best = (distance, rank)
        rows = ranking[: best[1] + 1] if best else []
        for _, verdict, on_unknown in rows:
            open_fp = verdict == 'fp' and on_unknown
            unknown += open_fp if protocol == 'definition' else on_unknown
            counted += verdict != 'ignored'
            closed += verdict != 'ignored' and not open_fp
    return 100 * unknown / (counted if protocol == 'opendet' else closed)


@pytest.mark.parametrize('offset', [0.0, 1.0])
def test_published_example(offset):
    result = open_set_metrics(golden(), 2, style='area', offset=offset)
    expected = dict(
        WI=25.0,
        AOSE=3,
        nOSE=100.0,  # of three unknown objects
        mAP_K=91.6667,
        AP_U=66.6667,
        # Last ranks: cat 2 of 6, dog 1 of 2, unknown 2 of 2.
        P_K=100 * (2 / 6 + 1 / 2) / 2,
        R_K=100.0,
        P_U=100.0,
        R_U=66.6667,
    )
    assert result == pytest.approx(expected, abs=1e-4)


def test_golden_toy_of_the_benchmark_by_open_set_measures():
    """Two unknown objects; one is found twice, one is taken for a dog."""
    with pytest.warns(EmptySetWarning, match='no known object'):
        result = open_set_metrics(fmiyc_toy(), 1, offset=1.0)
    expected = dict(AP_U=50.0, P_U=50.0, R_U=50.0, AOSE=1, nOSE=50.0)
    assert {k: result[k] for k in expected} == pytest.approx(expected)


def test_pixels_are_inclusive_where_that_is_asked_for():
    """Continuous, a half of the object; with the last pixels, 6 of 11."""
    images = [image([((0, 0, 8, 5), 0.9, 0)], [((0, 0, 8, 10), 1, 0)])]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', EmptySetWarning)
        assert open_set_metrics(images, 1)['AOSE'] == 0
        assert open_set_metrics(images, 1, offset=1.0)['AOSE'] == 1


def test_published_example_by_definition():
    """Up to the ranks: 3 true, no other false, one on an unknown object."""
    result = open_set_metrics(golden(), 2, protocol='definition')
    assert result['WI'] == pytest.approx(100 / 3)
    # P_closed / P_open - 1 with the three true ones of three and of four.
    assert result['WI'] == pytest.approx(100 * (1 / (3 / 4) - 1))
    # The ranks nearest to 0.8 are the first ones of full recall.
    assert open_set_metrics(golden(), 2, recall=1.0)['WI'] == 25.0
    # At recall 0.5 the cats stop at their first detection.
    assert open_set_metrics(golden(), 2, recall=0.5)['WI'] == 0.0


@pytest.mark.parametrize('recall', [0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize('protocol', ['opendet', 'definition'])
def test_wilderness_impact_equals_plain_loops(recall, protocol):
    images = random_images(0, count=60, decimals=1)
    matches = known_matches(images, 3)
    rankings = [reference(images, c, 3) for c in range(3)]
    objects = [match.num_objects for match in matches]
    expected = plain_wi(rankings, objects, recall, protocol)
    result = wilderness_impact(matches, recall, protocol)
    assert result == pytest.approx(expected, abs=1e-9)
    assert 0 < result < 100


def test_open_set_error_equals_plain_loops():
    images = random_images(1, count=60)
    rankings = [reference(images, c, 3) for c in range(3)]
    hits = sum(hit for ranking in rankings for _, _, hit in ranking)
    assert absolute_open_set_error(known_matches(images, 3)) == hits
    assert hits > 9


def test_a_true_positive_on_an_unknown_object_counts_as_published_only():
    objects = [(BOX, CAT, 0), ((0, 0, 10, 9), UNKNOWN, 0)]
    images = [image([(BOX, 0.9, CAT), (BOX, 0.8, CAT)], objects)]
    matches = [m for (m,) in match_classes(images, [CAT], [0.5], UNKNOWN)]
    assert wilderness_impact(matches) == 100
    assert wilderness_impact(matches, protocol='definition') == 0
    assert absolute_open_set_error(matches) == 2


def test_without_unknown_objects():
    images = [image([(BOX, 0.9, CAT), (FAR, 0.8, UNKNOWN)], [(BOX, CAT, 0)])]
    reason = 'no unknown object in 1 images: AP_U, P_U, R_U, nOSE are nan'
    with pytest.warns(EmptySetWarning, match=reason):
        result = open_set_metrics(images, 2)
    assert (result['WI'], result['AOSE']) == (0.0, 0)
    assert result['mAP_K'] == result['P_K'] == result['R_K'] == 100
    assert all(math.isnan(result[k]) for k in ('AP_U', 'P_U', 'R_U', 'nOSE'))


def test_difficult_unknown_objects_are_errors_but_not_to_be_found():
    images = [image([(BOX, 0.9, CAT)], [(BOX, UNKNOWN, 1), (FAR, CAT, 0)])]
    with pytest.warns(EmptySetWarning, match='no unknown object'):
        result = open_set_metrics(images, 2)
    assert (result['WI'], result['AOSE']) == (100.0, 1)
    assert math.isnan(result['AP_U'])


def test_a_class_without_objects_is_in_no_mean():
    images = [
        image([(BOX, 0.9, 0), (FAR, 0.8, 1)], [(BOX, 0, 0), (FAR, 2, 0)])
    ]
    result = open_set_metrics(images, 2)
    assert result['mAP_K'] == result['P_K'] == result['R_K'] == 100
    # It does count where unknown objects are taken for it.
    assert (result['WI'], result['AOSE']) == (50.0, 1)
    # A class with objects that is never detected counts as 0.
    images = [image([(BOX, 0.9, 0)], [(BOX, 0, 0), (FAR, 1, 0), (FAR, 2, 0)])]
    result = open_set_metrics(images, 2)
    assert result['mAP_K'] == result['P_K'] == result['R_K'] == 50
    assert result['AP_U'] == result['P_U'] == result['R_U'] == 0


@pytest.mark.parametrize('protocol', ['opendet', 'definition'])
def test_no_detection(protocol):
    images = [image([], [(BOX, 0, 0), (FAR, 2, 0)]), image()]
    result = open_set_metrics(images, 2, protocol=protocol)
    assert set(result.values()) == {0.0}


def test_no_image():
    with pytest.warns(EmptySetWarning) as caught:
        result = open_set_metrics([], 2)
    assert [str(w.message)[:16] for w in caught] == [
        'no known object ',
        'no unknown objec',
    ]
    assert (result['WI'], result['AOSE']) == (0.0, 0)
    assert math.isnan(result['mAP_K']) and math.isnan(result['AP_U'])


def test_nothing_found_but_unknown_objects():
    """Precision falls from full to none: no finite number says it."""
    images = [image([(BOX, 0.9, 0)], [(BOX, 2, 0), (FAR, 0, 0)])]
    result = open_set_metrics(images, 2, protocol='definition')
    assert result['WI'] == math.inf
    assert open_set_metrics(images, 2)['WI'] == 100
    # On a difficult object a detection is neither true nor false.
    images = [image([(BOX, 0.9, 0)], [(BOX, 0, 1), (FAR, 0, 0), (FAR, 2, 0)])]
    for protocol in ('opendet', 'definition'):
        assert open_set_metrics(images, 2, protocol=protocol)['WI'] == 0


def test_every_argument_reaches_its_measure():
    images = random_images(2, count=40)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        base = open_set_metrics(images, 3)
        points = open_set_metrics(images, 3, style='11points')
        strict = open_set_metrics(images, 3, iou=0.75)
    matches = known_matches(images, 3)
    means = {
        style: 100 * np.mean([m.average_precision(style) for m in matches])
        for style in ('area', '11points')
    }
    assert base['mAP_K'] == pytest.approx(means['area'])
    assert points['mAP_K'] == pytest.approx(means['11points'])
    assert abs(means['area'] - means['11points']) > 0.1
    hits = [reference(images, c, 3, 0.75) for c in range(3)]
    assert strict['AOSE'] == sum(hit for rows in hits for _, _, hit in rows)
    assert strict['AOSE'] < base['AOSE']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(protocol='owod'), r"protocol .*opendet.*got 'owod'"),
        (dict(style='coco'), r"style .*area.*got 'coco'"),
        (dict(recall=0.0), r'recall must be in \(0, 1\], got 0.0'),
        (dict(recall=80), 'got 80'),
        (dict(num_known=1), 'labels must be 0 to 0, or 1 for unknown, got 2'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_set_metrics(golden(), **{'num_known': 2, **arguments})


def test_wilderness_impact_checks_without_detections_too():
    with pytest.raises(ValueError, match="got 'owod'"):
        wilderness_impact([], protocol='owod')
    assert wilderness_impact([]) == 0.0
    assert absolute_open_set_error([]) == 0
