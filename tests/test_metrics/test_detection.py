"""Object-level measures on hand-made examples."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
)

from mmood.metrics import (
    PROTOCOLS,
    EmptySetWarning,
    NanScoreError,
    boxes_on_objects,
    id_quantile_threshold,
    object_recall,
    ood_metrics,
    optimal_f1_threshold,
)

ID_POSITIVE = ['vos', 'dreambox', 'quantile']
TRAPEZOIDS = ['openood', 'pytorch_ood']


def curves(*classes, ious=1):
    """(precision, scores) of classes over the recall grid, (I, 101, K)."""
    arrays = np.array(classes, dtype=np.float64)  # (K, 2, 101)
    return [np.stack([a.T] * ious) for a in (arrays[:, 0], arrays[:, 1])]


def step(until, precision, confidence):
    """A class with one precision up to a recall, in hundredths."""
    grid = np.arange(101) <= until
    return precision * grid, confidence * grid


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
def test_perfect_separation(protocol):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        result = ood_metrics(np.arange(40), np.arange(60, 90), protocol)
    assert result == pytest.approx(dict(FPR95=0, AUROC=1, AUPR=1))


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
def test_protocol_decides_which_side_is_positive(protocol):
    rng = np.random.default_rng(0)
    ids, oods = rng.normal(0, 1, 80), rng.normal(1, 1, 30)
    result = ood_metrics(ids, oods, protocol)
    scores = np.concatenate([ids, oods])
    is_ood = np.arange(110) >= 80
    assert result['AUROC'] == pytest.approx(roc_auc_score(is_ood, scores))
    expected = average_precision_score(is_ood, scores)
    if protocol in ID_POSITIVE:
        expected = average_precision_score(~is_ood, -scores)
    if protocol in TRAPEZOIDS:
        precision, recall, _ = precision_recall_curve(is_ood, scores)
        expected = auc(recall, precision)
    assert result['AUPR'] == pytest.approx(expected)


def test_vos_toys_with_scores_that_are_higher_for_ood():
    ids, oods = -np.arange(1, 21), -np.array([0.5, 1.5, 2.5, 19.5])
    for protocol in ID_POSITIVE:
        assert ood_metrics(ids, oods, protocol)['FPR95'] == 0.75
    strict = ood_metrics(ids, oods, 'vos', tpr=0.5)
    assert strict['FPR95'] == 0.25


def test_dood_counts_false_alarms_on_the_id_side():
    ids = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    oods = [0.15, 0.35, 0.55, 0.65, 0.75, 0.85, 0.97, 0.98, 0.99, 0.92]
    result = ood_metrics(ids, oods, 'dood')
    assert result['FPR95'] == pytest.approx(0.7)
    assert result['AUPR'] == pytest.approx(0.7521516422, abs=1e-10)


@pytest.mark.parametrize('protocol', ['vos', 'dood', 'quantile'])
@pytest.mark.parametrize(
    ('ids', 'oods', 'sides'),
    [([], [1.0], ['ID']), ([1.0], [], ['OOD']), ([], [], ['ID', 'OOD'])],
)
def test_empty_side_is_nan_and_named(ids, oods, sides, protocol):
    with pytest.warns(EmptySetWarning) as caught:
        result = ood_metrics(ids, oods, protocol)
    assert set(result) == {'FPR95', 'AUROC', 'AUPR'}
    assert all(np.isnan(v) for v in result.values())
    messages = [str(w.message) for w in caught]
    assert len(messages) == len(sides)
    for side, message in zip(sides, messages):
        assert f'on the {side} images' in message


def test_ood_metrics_refuses_nan_scores_and_unknown_protocols():
    with pytest.raises(NanScoreError, match='id_scores has 1 nan of 2'):
        ood_metrics([0.0, np.nan], [1.0])
    with pytest.raises(NanScoreError, match='ood_scores has 1 nan of 1'):
        ood_metrics([0.0], [np.nan])
    with pytest.raises(NanScoreError, match='id_scores has 1 nan of 2'):
        id_quantile_threshold([0.0, np.nan])
    with pytest.raises(ValueError, match="'coco'"):
        ood_metrics([0.0], [1.0], 'coco')


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
def test_infinite_scores_rank_at_the_ends(protocol):
    ids, oods = np.array([-np.inf, 0, 1, 2, 8]), np.array([1, 7, 9, np.inf])
    found = ood_metrics(ids, oods, protocol)
    expected = ood_metrics(np.clip(ids, -9, 99), np.clip(oods, -9, 99))
    assert found['AUROC'] == pytest.approx(expected['AUROC'])
    assert np.isfinite(list(found.values())).all()
    assert id_quantile_threshold([0, np.inf]) == np.inf
    assert id_quantile_threshold([-np.inf, 0], tpr=0.5) == -np.inf


@pytest.mark.parametrize('tpr', [0, 95, float('nan')])
def test_quantile_refuses_what_is_no_share(tpr):
    with pytest.raises(ValueError, match=f'tpr .*got {tpr}'):
        id_quantile_threshold([0.0], tpr)
    with pytest.raises(ValueError, match=f'tpr .*got {tpr}'):
        ood_metrics([0.0], [1.0], tpr=tpr)


@pytest.mark.parametrize('n', range(1, 51))
def test_quantile_keeps_the_smallest_sufficient_count(n):
    ids = np.random.default_rng(n).permutation(n) * 1.5
    kept = int((ids <= id_quantile_threshold(ids)).sum())
    assert kept == -(-95 * n // 100)


@pytest.mark.parametrize(('tpr', 'kept'), [(0.07, 7), (0.55, 55)])
def test_quantile_is_not_pushed_up_by_rounding(tpr, kept):
    assert tpr * 100 > kept  # in floating point
    assert id_quantile_threshold(np.arange(1, 101), tpr) == kept


def test_quantile_ties_and_ends():
    assert id_quantile_threshold([1, 1, 1, 5]) == 5
    assert id_quantile_threshold([1, 1, 1, 5], tpr=0.75) == 1
    assert id_quantile_threshold([[3, 1], [2, 4]], tpr=0.5) == 2
    assert id_quantile_threshold([3, 1, 2], tpr=1.0) == 3
    assert id_quantile_threshold([7.5]) == 7.5
    assert np.isnan(id_quantile_threshold([]))


def test_f1_threshold_of_one_class():
    # F1 is 2 * 0.5 * r / (0.5 + r), then 0 beyond recall 0.6: best at 0.6.
    precision, scores = curves(step(60, 0.5, 1.0))
    scores[0, :, 0] = np.linspace(0.9, 0.1, 101)
    assert optimal_f1_threshold(precision, scores) == pytest.approx(0.42)


def test_f1_threshold_is_not_the_best_precision():
    # Precision 1 until recall 0.2 (F1 1/3), 0.6 until recall 0.9 (0.72).
    precision, scores = curves(step(90, 0.6, 0.3))
    precision[0, :21], scores[0, :21] = 1.0, 0.8
    assert optimal_f1_threshold(precision, scores) == pytest.approx(0.3)


def test_f1_threshold_is_not_the_best_product():
    # Recall 0.4: P R 0.4, F1 0.571. Recall 0.6: P R 0.36, F1 0.6.
    precision, scores = curves(step(60, 0.6, 0.3))
    precision[0, :41], scores[0, :41] = 1.0, 0.8
    assert optimal_f1_threshold(precision, scores) == pytest.approx(0.3)


def test_f1_threshold_averages_precision_before_choosing():
    # Apart the IoUs prefer recall 1.0 and 0.5; their mean prefers 0.5,
    # where the confidences 0.2 and 0.6 average to 0.4.
    strong, weak = step(100, 0.5, 0.2), step(50, 0.9, 0.6)
    precision, scores = (
        np.stack([curves(strong)[i][0], curves(weak)[i][0]]) for i in (0, 1)
    )
    assert optimal_f1_threshold(precision, scores) == pytest.approx(0.4)


@pytest.mark.parametrize('ious', [1, 3])
def test_f1_threshold_skips_classes_without_objects_or_boxes(ious):
    absent = np.full(101, -1.0), np.full(101, -1.0)
    never = step(100, 0.0, 0.0)
    parts = step(70, 0.8, 0.5), absent, step(40, 0.9, 0.2), never
    precision, scores = curves(*parts, ious=ious)
    assert optimal_f1_threshold(precision, scores) == pytest.approx(0.35)


def test_f1_threshold_ignores_what_an_absent_class_says():
    absent = np.full(101, -1.0), np.full(101, 0.9)
    precision, scores = curves(step(70, 0.8, 0.5), absent)
    assert optimal_f1_threshold(precision, scores) == pytest.approx(0.5)


def test_f1_threshold_without_any_class_is_zero():
    absent = np.full(101, -1.0), np.full(101, -1.0)
    assert optimal_f1_threshold(*curves(absent, step(100, 0.0, 0.0))) == 0.0
    nothing = np.zeros((10, 101, 0))
    assert optimal_f1_threshold(nothing, nothing) == 0.0


def test_f1_threshold_has_four_decimals():
    assert optimal_f1_threshold(*curves(step(70, 0.8, 0.123456))) == 0.1235


def test_f1_threshold_refuses_nan_and_other_shapes():
    precision, scores = curves(step(70, 0.8, 0.5))
    with pytest.raises(ValueError, match=r'\(1, 101, 1\) and scores \(1, 101'):
        optimal_f1_threshold(precision, scores[..., 0])
    scores[0, 3] = np.nan
    with pytest.raises(NanScoreError, match='scores has . nan of 101'):
        optimal_f1_threshold(precision, scores)


def test_recall_refuses_boxes_that_are_nowhere():
    box = np.array([[0, 0, 4, 4]])
    with pytest.raises(ValueError, match='boxes has 1 of 2 boxes with nan or'):
        object_recall([np.array([[0, 0, 4, 4], [0, 0, np.nan, 4]])], [box])
    with pytest.raises(ValueError, match='objects has 1 of 1 .* infinite'):
        object_recall([box], [[[0, 0, np.inf, 4]]])
    with pytest.raises(ValueError, match=r'boxes must be \(n, 4\), got'):
        object_recall([[0, 0, 4, 4]], [box])
    assert object_recall([np.uint8([[1, 1, 4, 4]])], [[[9, 9, 12, 12]]]) == 0


def test_recall_by_hand():
    objects = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]])
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 25.0], [50, 50, 60, 54.9]])
    assert object_recall([boxes], [objects]) == pytest.approx(2 / 3)
    assert object_recall([boxes], [objects], iou=0.51) == pytest.approx(1 / 3)
    assert object_recall([boxes], [objects], iou=0.4) == 1


def test_recall_uses_the_union():
    # 50 of 10 x 10 in common with a box twice as large: 50 / 250.
    objects, boxes = np.array([[0, 0, 10, 10]]), np.array([[5, 0, 25, 10]])
    assert object_recall([boxes], [objects], iou=0.2) == 1
    assert object_recall([boxes], [objects], iou=0.21) == 0


def test_touching_and_apart_boxes_do_not_overlap():
    objects = np.array([[0, 0, 10, 10]])
    boxes = np.array([[10, 0, 20, 10], [30, 30, 40, 40], [-20, -20, -1, -1]])
    assert object_recall([boxes], [objects], iou=1e-6) == 0


def test_one_box_may_find_two_objects_and_two_boxes_count_once():
    twins = np.array([[0, 0, 10, 10], [0, 0, 10, 9]])
    assert object_recall([twins[:1]], [twins]) == 1
    assert object_recall([twins], [twins[:1]]) == 1


def test_recall_pools_objects_over_images():
    box, none = np.array([[0, 0, 4, 4]]), np.zeros((0, 4))
    far = np.array([[9, 9, 12, 12]] * 2)
    boxes, objects = [box, none, box, box], [box, far, none, far]
    assert object_recall(boxes, objects) == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ('boxes', 'objects'),
    [([], []), ([np.zeros((0, 4))] * 2, [np.zeros((0, 4))] * 2)],
)
def test_recall_of_no_object_is_nan(boxes, objects):
    assert np.isnan(object_recall(boxes, objects))


def test_degenerate_boxes_do_not_divide_by_zero():
    point = np.array([[5.0, 5.0, 5.0, 5.0]])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert object_recall([point], [point]) == 0


BOX, HALF, FAR = [0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 70, 70]


def test_boxes_on_objects():
    boxes = [np.array([BOX, BOX, FAR]), np.zeros((0, 4)), np.array([FAR])]
    objects = [np.array([BOX, HALF]), np.array([BOX]), np.zeros((0, 4))]
    assert boxes_on_objects(boxes, objects).tolist() == [True, True, 0, 0]
    # Half of an object is enough, and a bit less is not.
    half = [np.array([HALF])], [np.array([BOX])]
    assert boxes_on_objects(*half).tolist() == [True]
    assert boxes_on_objects(*half, iou=0.51).tolist() == [False]
    labels = [([0, 1, 0], [0, 2]), ([], [0]), ([0], [])]
    assert boxes_on_objects(boxes, objects, labels).tolist() == [True, 0, 0, 0]
    # The other object on the same place is of the other box's class.
    labels[0] = ([0, 2, 0], [0, 2])
    assert boxes_on_objects(boxes, objects, labels).tolist() == [1, 1, 0, 0]
    assert boxes_on_objects([], []).tolist() == []
    with pytest.raises(ValueError, match='boxes of 1 and objects of 0 images'):
        boxes_on_objects([np.zeros((0, 4))], [])
