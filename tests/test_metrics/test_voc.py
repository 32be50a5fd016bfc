"""VOC's matching against plain loops, average precision against mmdet's."""

import numpy as np
import pytest
from mmdet.evaluation import eval_map

from mmood.metrics.voc import (
    ImageDetections,
    RankedMatches,
    best_f1_score,
    match_class,
    match_classes,
    voc_average_precision,
)
from voc_helpers import CAT, DOG, UNKNOWN, golden, image, random_images
from voc_helpers import voc_rule as reference

BOX, HALF = (0, 0, 10, 10), (0, 0, 10, 5)  # IoU 0.5
FAR = (50, 50, 70, 70)


def verdicts(match):
    """As the reference tells them."""
    words = np.where(match.is_tp, 'tp', np.where(match.is_fp, 'fp', 'ignored'))
    assert not (match.is_tp & match.is_fp).any()
    return list(
        zip(match.scores.tolist(), words.tolist(), match.on_unknown.tolist())
    )


def match_of(flags, scores=None, num_objects=2):
    """A ranking of true (1), false (0) and ignored (-1) detections."""
    flags = np.array(flags)
    return RankedMatches(
        np.array(scores or np.linspace(1, 0.1, len(flags))),
        flags == 1,
        flags == 0,
        np.zeros(len(flags), dtype=bool),
        num_objects,
    )


@pytest.mark.parametrize('offset', [0.0, 1.0])
def test_published_example_step_by_step(offset):
    cat = match_class(golden(), CAT, unknown_label=UNKNOWN, offset=offset)
    assert cat.scores.tolist() == [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5]
    assert np.cumsum(cat.is_tp | cat.is_fp).tolist() == [1, 2, 3, 3, 4, 5, 6]
    assert np.cumsum(cat.on_unknown).tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert np.cumsum(cat.is_tp).tolist() == [1, 1, 2, 2, 2, 2, 2]
    assert cat.num_objects == 2
    assert cat.average_precision() == pytest.approx(0.833333, abs=1e-6)
    dog = match_class(golden(), DOG, unknown_label=UNKNOWN, offset=offset)
    assert dog.average_precision() == 1
    assert dog.on_unknown.tolist() == [False, True]
    unknown = match_class(golden(), UNKNOWN, offset=offset)
    assert unknown.num_objects == 3
    assert not unknown.on_unknown.any()
    assert unknown.average_precision() == pytest.approx(0.666667, abs=1e-6)


@pytest.mark.parametrize('decimals', [9, 1])
@pytest.mark.parametrize('offset', [0.0, 1.0])
def test_matching_equals_plain_loops(offset, decimals):
    """With one decimal most scores are tied: the first in order wins."""
    images = random_images(0, decimals=decimals)
    matches = match_classes(images, range(4), [0.5, 0.75], 3, offset)
    seen = set()
    for label, of_class in enumerate(matches):
        for threshold, match in zip([0.5, 0.75], of_class):
            expected = reference(images, label, 3, threshold, offset)
            assert verdicts(match) == expected
            seen |= {verdict[1:] for verdict in expected}
        assert match.num_objects == sum(
            int(((i.gt_labels == label) & ~i.gt_difficult).sum())
            for i in images
        )
    flags = (True, False)
    assert seen == {(v, f) for v in ('tp', 'fp', 'ignored') for f in flags}


def test_blocks_do_not_change_the_result(monkeypatch):
    images = random_images(1)
    whole = match_classes(images, range(4), unknown_label=3)
    monkeypatch.setattr('mmood.metrics.voc._BLOCK', 3)
    parts = match_classes(images, range(4), unknown_label=3)
    for (a,), (b,) in zip(whole, parts):
        assert verdicts(a) == verdicts(b)


def test_indices_lead_back_to_the_detections():
    images = random_images(2)
    scores = np.concatenate([i.scores for i in images])
    labels = np.concatenate([i.labels for i in images])
    for label in range(4):
        match = match_class(images, label)
        assert scores[match.indices].tolist() == match.scores.tolist()
        assert set(labels[match.indices]) == {label}


@pytest.mark.parametrize('style', ['area', '11points'])
@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('iou', [0.5, 0.7])
def test_average_precision_equals_that_of_mmdet(style, legacy, iou):
    images = random_images(3, count=40)
    detections, annotations = [], []
    for one in images:
        rows = np.hstack([one.boxes, one.scores[:, None]])
        detections.append([rows[one.labels == c] for c in range(4)])
        easy = ~one.gt_difficult
        annotations.append(
            dict(
                bboxes=one.gt_boxes[easy],
                labels=one.gt_labels[easy],
                bboxes_ignore=one.gt_boxes[~easy],
                labels_ignore=one.gt_labels[~easy],
            )
        )
    _, expected = eval_map(
        detections,
        annotations,
        iou_thr=iou,
        nproc=1,
        logger='silent',
        eval_mode=style,
        use_legacy_coordinate=legacy,
    )
    for label in range(4):
        match = match_class(images, label, iou, offset=float(legacy))
        ap = match.average_precision(style)
        assert 0.1 < ap < 0.9
        assert ap == pytest.approx(float(expected[label]['ap']), abs=1e-6)
        recall = expected[label]['recall']
        np.testing.assert_allclose(match.recall, recall, rtol=1e-5)


def test_average_precision_in_closed_form():
    match = match_of([0, 1, -1, 0, 1])
    assert match.recall.tolist() == [0, 0.5, 0.5, 0.5, 1]
    assert match.precision.tolist() == [0, 1 / 2, 1 / 2, 1 / 3, 1 / 2]
    assert match.average_precision() == 0.5
    # Recalls 0 to 0.5 are reached, and the other object is not.
    half = match_of([0, 1])
    assert half.average_precision() == 0.25
    assert half.average_precision('11points') == pytest.approx(6 / 11 / 2)
    # 3 / 10 is less than the double 3 * 0.1.
    tenths = match_of([1, 1, 1], num_objects=10)
    assert tenths.average_precision('11points') == pytest.approx(3 / 11)


def test_the_threshold_is_strict_and_corners_may_count():
    images = [image([(HALF, 0.9, 0)], [(BOX, 0, 0)])]
    assert match_class(images, 0).is_fp.tolist() == [True]
    assert match_class(images, 0, iou=0.49).is_tp.tolist() == [True]
    # Nor is it above that with a difficult or an unknown object.
    hard = [image([(HALF, 0.9, 0)], [(BOX, 0, 1)])]
    assert match_class(hard, 0).is_fp.tolist() == [True]
    images[0] = image([(HALF, 0.9, 0)], [(BOX, 0, 0), (BOX, 1, 0)])
    for iou, expected in ((0.5, [False]), (0.49, [True])):
        match = match_class(images, 0, iou, unknown_label=1)
        assert match.on_unknown.tolist() == expected
    # 11 x 6 of 11 x 11 pixels.
    assert match_class(images, 0, offset=1.0).is_tp.tolist() == [True]


def test_a_detection_takes_its_nearest_object_even_if_that_is_gone():
    near = (1, 0, 11, 10)
    objects = [(BOX, 0, 0), (near, 0, 0)]
    images = [image([(BOX, 0.9, 0), (BOX, 0.8, 0)], objects)]
    assert match_class(images, 0).is_tp.tolist() == [True, False]
    # Of equal overlaps the first object counts, here a difficult one.
    objects = [(BOX, 0, 1), (BOX, 0, 0)]
    match = match_class([image([(BOX, 0.9, 0)], objects)], 0)
    assert not match.is_tp.any() and not match.is_fp.any()
    assert match.num_objects == 1


def test_equal_scores_stay_in_the_order_of_images():
    hit = image([(BOX, 0.5, 0)], [(BOX, 0, 0)])
    miss = image([(FAR, 0.5, 0)])
    assert match_class([hit, miss], 0).average_precision() == 1
    assert match_class([miss, hit], 0).average_precision() == 0.5


@pytest.mark.parametrize(
    ('images', 'detections', 'objects'),
    [
        ([], 0, 0),
        ([image()], 0, 0),
        ([image([(BOX, 0.9, 0)])], 1, 0),
        ([image([], [(BOX, 0, 0)])], 0, 1),
        ([image([(BOX, 0.9, 1)], [(BOX, 0, 0)])], 0, 1),
        ([image([(BOX, 0.9, 0)]), image([], [(BOX, 0, 0)])], 1, 1),
        # A box without area overlaps nothing, not even itself.
        ([image([((5, 5, 5, 5), 0.9, 0)], [((5, 5, 5, 5), 0, 0)])], 1, 1),
    ],
)
def test_nothing_to_match(images, detections, objects):
    match = match_class(images, 0, unknown_label=1)
    assert match.is_fp.tolist() == [True] * detections
    assert not match.is_tp.any() and not match.on_unknown.any()
    assert match.num_objects == objects
    ap = match.average_precision('11points')
    assert ap == 0 if objects else np.isnan(ap)
    assert match.precision.tolist() == [0] * detections
    expected = [0.0 if objects else np.nan] * detections
    np.testing.assert_array_equal(match.recall, expected)


def test_best_f1_score_is_a_mean_over_classes():
    # F1 at the ranks: 2/3, 1/2, 4/5, 2/3.
    a = match_of([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6])
    assert best_f1_score([a]) == 0.7
    b = match_of([1, 1], [0.5, 0.3], num_objects=2)
    assert best_f1_score([a, b]) == 0.5
    wrong = match_of([0, 0], [0.9, 0.1])
    absent = match_of([0], [0.2], num_objects=0)
    assert best_f1_score([a, b, wrong, absent, match_of([])]) == 0.5
    # The first of equal ones: 2/3 and 2/3.
    assert best_f1_score([match_of([1, 0, 0, 1], [4, 3, 2, 1.0])]) == 4
    assert np.isnan(best_f1_score([wrong, absent]))
    assert np.isnan(best_f1_score([]))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"style .*'area'.*got 'coco'"):
        voc_average_precision(np.zeros(0), np.zeros(0), 'coco')
    with pytest.raises(ValueError, match="got 'coco'"):
        match_of([], num_objects=0).average_precision('coco')
    empty = np.zeros(0)
    with pytest.raises(ValueError, match="'scores': 0"):
        ImageDetections(np.zeros((1, 4)), empty, empty, empty, empty, empty)
    with pytest.raises(ValueError, match="'gt_difficult': 0"):
        ImageDetections(
            empty, empty, empty, np.zeros((1, 4)), np.zeros(1), empty
        )


def test_average_precision_refuses_what_is_no_curve():
    with pytest.raises(ValueError, match=r'recall is \(2,\) and precision'):
        voc_average_precision([0.5, 1], [1])
    with pytest.raises(ValueError, match='recall has 1 nan of 2'):
        voc_average_precision([np.nan, 1], [1, 1])
