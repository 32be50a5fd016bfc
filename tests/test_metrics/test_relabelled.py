"""Relabelled boxes against `open_set_metrics` and plain loops."""

import math
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest

from mmood.metrics import EmptySetWarning, RelabelledBoxes, open_set_metrics
from voc_helpers import fmiyc_toy, image, random_images, voc_rule

BOX, FAR = (0, 0, 10, 10), (50, 50, 70, 70)
KNOWN = ('AP_K', 'P_K', 'R_K')


def random_sets(seed=0, num_known=3):
    """ID images, and two sets all of whose objects are unknown."""
    sets = dict(id=random_images(seed, 40, num_known))
    for name in ('near', 'far'):
        seed += 1
        sets[name] = [
            replace(one, gt_labels=np.full(len(one.gt_labels), num_known))
            for one in random_images(seed, 30, num_known)
        ]
    return sets


def decision(sets, seed=3, share=0.3):
    count = sum(len(one.labels) for part in sets.values() for one in part)
    return np.random.default_rng(seed).random(count) < share


def relabel(sets, is_unknown, num_known):
    """The images with the labels that the decision makes."""
    relabelled, start = {}, 0
    for name, images in sets.items():
        relabelled[name] = []
        for one in images:
            here = is_unknown[start : start + len(one.labels)]
            labels = np.where(here, num_known, one.labels)
            relabelled[name].append(replace(one, labels=labels))
            start += len(one.labels)
    return relabelled


def test_golden_toy_of_the_benchmark():
    """Two unknown objects; one is found twice, one is taken for a dog."""
    (toy,) = fmiyc_toy()
    as_dogs = replace(toy, labels=np.zeros(4))
    closed = [image([(BOX, 0.9, 0)], [(BOX, 0, 0)])]
    boxes = RelabelledBoxes(dict(id=closed, near=[as_dogs]), 1)
    is_unknown = np.array([False, True, True, False, False])
    result = boxes.measures('near', is_unknown)
    expected = dict(AP_U=50.0, P_U=50.0, R_U=50.0, AOSE=1, nOSE=50.0)
    assert {k: result[k] for k in expected} == pytest.approx(expected)
    # Dogs: 1 of 1 found at 0.9, then recall stays: none lies on an unknown.
    assert result['WI'] == 0
    assert boxes.known_measures(is_unknown) == dict.fromkeys(KNOWN, 100)


@pytest.mark.parametrize('offset', [0.0, 1.0])
def test_equals_measures_of_relabelled_images(offset):
    sets = random_sets()
    boxes = RelabelledBoxes(sets, 3, offset=offset)
    is_unknown = decision(sets)
    images = relabel(sets, is_unknown, 3)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', EmptySetWarning)
        for name in ('near', 'far'):
            alone = open_set_metrics(images[name], 3, offset=offset)
            both = images['id'] + images[name]
            alone['WI'] = open_set_metrics(both, 3, offset=offset)['WI']
            found = boxes.measures(name, is_unknown)
            assert found == pytest.approx({k: alone[k] for k in found})
            assert min(found.values()) > 0
        closed = open_set_metrics(images['id'], 3, offset=offset)
    expected = [closed[k] for k in ('mAP_K', 'P_K', 'R_K')]
    found = boxes.known_measures(is_unknown)
    assert [found[k] for k in KNOWN] == pytest.approx(expected)
    assert 0 < found['AP_K'] < 100


def test_counts_equal_plain_loops():
    sets = random_sets(5)
    is_unknown = decision(sets)
    found = RelabelledBoxes(sets, 3).measures('far', is_unknown)
    images = relabel(sets, is_unknown, 3)['far']
    hits = [
        hit for c in range(3) for *_, hit in voc_rule(images, c, 3, offset=1.0)
    ]
    number = sum((~one.gt_difficult).sum() for one in images)
    assert found['AOSE'] == sum(hits) > 0
    assert found['nOSE'] == pytest.approx(100 * sum(hits) / number)
    words = [word for _, word, _ in voc_rule(images, 3, offset=1.0)]
    tp, fp = words.count('tp'), words.count('fp')
    assert found['P_U'] == pytest.approx(100 * tp / (tp + fp))
    assert found['R_U'] == pytest.approx(100 * tp / number)


def test_nothing_unknown_and_all_unknown():
    sets = random_sets(7)
    boxes = RelabelledBoxes(sets, 3)
    assert len(boxes) == len(decision(sets))
    none, every = np.zeros(len(boxes), bool), np.ones(len(boxes), bool)
    found = boxes.measures('near', none)
    assert [found[k] for k in ('AP_U', 'P_U', 'R_U')] == [0, 0, 0]
    assert found['AOSE'] > 0
    found = boxes.measures('near', every)
    assert [found[k] for k in ('nOSE', 'AOSE', 'WI')] == [0, 0, 0]
    assert found['R_U'] > 0
    assert boxes.known_measures(every) == dict.fromkeys(KNOWN, 0)


def test_no_box_no_object_no_image():
    none = np.zeros(0, dtype=bool)
    sets = dict(
        id=[image([], [(BOX, 0, 0)])],
        near=[image([], [(BOX, 1, 0)])],
        far=[image(), image([], [(BOX, 1, 1)])],
        empty=[],
    )
    with pytest.warns(EmptySetWarning) as caught:
        boxes = RelabelledBoxes(sets, 1)
    start = 'no unknown object in {} images of the set {!r}: AP_U'
    assert [str(w.message)[:48] for w in caught] == [
        start.format(2, 'far')[:48],
        start.format(0, 'empty')[:48],
    ]
    assert boxes.known_measures(none) == dict.fromkeys(KNOWN, 0)
    assert set(boxes.measures('near', none).values()) == {0}
    for name in ('far', 'empty'):
        found = boxes.measures(name, none)
        assert (found['AOSE'], found['WI']) == (0, 0)
        rest = [found[k] for k in ('AP_U', 'P_U', 'R_U', 'nOSE')]
        assert all(map(math.isnan, rest))
    boxes = RelabelledBoxes(dict(id=[]), 1)
    assert all(map(math.isnan, boxes.known_measures(none).values()))


def test_wilderness_impact_needs_the_known_objects():
    """Both dogs are found at 0.7: one box before lies on an unknown."""
    closed = [
        image([(BOX, 0.9, 0), (FAR, 0.7, 0)], [(BOX, 0, 0), (FAR, 0, 0)])
    ]
    near = [image([(BOX, 0.8, 0), (FAR, 0.6, 0)], [(BOX, 1, 0), (FAR, 1, 0)])]
    boxes = RelabelledBoxes(dict(id=closed, near=near), 1)
    found = boxes.measures('near', np.zeros(4, bool))
    assert found['WI'] == pytest.approx(100 / 3)
    assert (found['AOSE'], found['nOSE']) == (2, 100)
    # Without the box of 0.8, of ID and near: two true ones of two.
    found = boxes.measures('near', np.array([False, False, True, False]))
    assert (found['WI'], found['AOSE'], found['AP_U']) == (0, 1, 50)


def test_wrong_arguments():
    sets = random_sets()
    with pytest.raises(ValueError, match="sets must hold 'id', got \\['near"):
        RelabelledBoxes(dict(near=sets['near']), 3)
    with pytest.raises(ValueError, match='0 to 1, or 2 for unknown, got 3'):
        RelabelledBoxes(dict(id=[], near=sets['near']), 2)
    with pytest.raises(ValueError, match="style must .* got 'coco'"):
        RelabelledBoxes(sets, 3, style='coco')
    boxes = RelabelledBoxes(sets, 3)
    with pytest.raises(ValueError, match=rf'{len(boxes)} boxes, got \(2,\)'):
        boxes.known_measures(np.array([True, False]))


def test_a_hundred_thousand_boxes_take_seconds():
    """Five objects and fifty boxes an image, twenty classes."""
    rng = np.random.default_rng(0)
    sets = {}
    for name in ('id', 'near'):
        sets[name] = []
        for _ in range(1000):
            low = rng.random((5, 2)) * 300
            objects = np.concatenate([low, low + 80], 1)
            boxes = np.repeat(objects, 10, 0) + rng.normal(0, 8, (50, 4))
            labels = rng.integers(20, size=5)
            one = image()
            one = replace(
                one,
                boxes=boxes,
                scores=rng.random(50),
                labels=np.repeat(labels, 10),
                gt_boxes=objects,
                gt_labels=labels if name == 'id' else np.full(5, 20),
                gt_difficult=np.zeros(5, bool),
            )
            sets[name].append(one)
    start = time.process_time()
    boxes = RelabelledBoxes(sets, 20)
    is_unknown = rng.random(len(boxes)) < 0.2
    found = boxes.measures('near', is_unknown)
    boxes.known_measures(is_unknown)
    assert len(boxes) == 100_000 and found['R_U'] > 50
    assert time.process_time() - start < 20
