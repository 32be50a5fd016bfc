"""Component measures against published numbers, counting and brute force."""

import pickle

import numpy as np
import pytest

from mmood.metrics import (
    FrameComponents,
    component_metrics,
    frame_components,
    pool_components,
)

PERCENT = range(25, 76, 5)


def golden_frame():
    """(prediction, label) of the golden fixture."""
    label = np.zeros((12, 20), np.uint8)
    label[1:5, 1:5] = label[1:5, 7:11] = label[8:10, 14:18] = label[11, 0] = 1
    label[:, 19] = 255
    prediction = np.zeros((12, 20), bool)
    prediction[2:5, 2:10] = prediction[8:10, 15:18] = True
    prediction[6:8, 2:5] = prediction[0, 15:17] = prediction[3, 19] = True
    return prediction, label


def drawn(*rows):
    """A frame from text: O object, # predicted object, + prediction.

    x and X are ignored, X is also predicted.
    """
    grid = np.array([list(row) for row in rows])
    label = np.where(np.isin(grid, ['O', '#']), 1, 0)
    label[np.isin(grid, ['x', 'X'])] = 255
    return np.isin(grid, ['#', '+', 'X']), label


def measure(*rows, prediction=1, objects=1):
    return frame_components(*drawn(*rows), prediction, objects)


def frame(sIoU=(), PPV=(), sIoU_pred=None):
    sizes = np.ones(len(sIoU), int), np.ones(len(PPV), int)
    predicted = PPV if sIoU_pred is None else sIoU_pred
    parts = np.array(sIoU), np.array(PPV), *sizes, np.array(predicted)
    return FrameComponents(*parts)


def flood(mask):
    """Components as sets of pixels, by their first pixel; 8 neighbours."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask))}
    found = []
    while left:
        front, component = [min(left)], set()
        while front:
            y, x = front.pop()
            if (y, x) in left:
                left.remove((y, x))
                component.add((y, x))
                front += [
                    (y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)
                ]
        found.append(component)
    return found


def by_sets(prediction, label, min_prediction_size, min_object_size):
    """The measures of a frame from their definition, on sets of pixels."""
    objects = flood(label == 1)
    ignored = set(zip(*np.nonzero(label == 255)))
    for small in [k for k in objects if len(k) < min_object_size]:
        objects.remove(small)
        ignored |= small
    predictions = [
        p - ignored
        for p in flood(prediction & (label != 255))
        if len(p) >= min_prediction_size
    ]
    predictions = [p for p in predictions if p]
    everything = set().union(*objects)
    precisions = [len(p & everything) / len(p) for p in predictions]
    return (
        overlaps_by_sets(objects, predictions),
        precisions,
        objects,
        predictions,
        overlaps_by_sets(predictions, objects),
    )


def overlaps_by_sets(components, others):
    everything = set().union(*components)
    overlaps = []
    for k in components:
        union = set().union(*(p for p in others if p & k))
        # A, the pixels on others of the same side, counts neither way.
        total = (union | k) - (everything - k)
        overlaps.append(len(union & k) / len(total))
    return overlaps


def test_golden_frame():
    result = frame_components(*golden_frame(), 4, 2)
    np.testing.assert_allclose(result.sIoU, [0.409091, 0.409091, 0.75], 1e-6)
    np.testing.assert_array_equal(result.PPV, [0.75, 0, 1])
    np.testing.assert_array_equal(result.object_sizes, [16, 16, 8])
    np.testing.assert_array_equal(result.prediction_sizes, [24, 6, 6])
    # The first meets both objects of 16 pixels, 9 of each: 18 / (24 + 32 - 18)
    predicted = [18 / 38, 0, 6 / 8]
    np.testing.assert_allclose(result.sIoU_pred, predicted, rtol=1e-12)


def test_golden_set():
    prediction, label = golden_frame()
    result = component_metrics(
        [prediction], [label], min_prediction_size=4, min_object_size=2
    )
    expected = {'sIoU': 23 / 44, 'PPV': 7 / 12, 'F1*': 0.5662337662}
    expected['sIoU_pred'] = (18 / 38 + 6 / 8) / 3
    for percent in PERCENT:
        loose = percent <= 40
        expected[f'TP@{percent}'] = 3 if loose else 1
        expected[f'FN@{percent}'] = 0 if loose else 2
        expected[f'FP@{percent}'] = 1
        expected[f'F1@{percent}'] = 0.857142857142 if loose else 0.4
    assert result == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize('sizes', [(1, 1), (3, 1), (1, 4), (4, 3)])
@pytest.mark.parametrize('share', [0.25, 0.4, 0.6])
def test_matches_sets_of_pixels(sizes, share):
    rng = np.random.default_rng(sum(sizes))
    met = 0
    for _ in range(25):
        shape = rng.integers(1, 15, 2)
        prediction = rng.random(shape) < share
        label = rng.choice([0, 1, 255], shape, p=[0.9 - share, share, 0.1])
        result = frame_components(prediction, label, *sizes)
        expected = by_sets(prediction, label, *sizes)
        np.testing.assert_allclose(result.sIoU, expected[0], rtol=1e-9)
        np.testing.assert_allclose(result.PPV, expected[1], rtol=1e-9)
        np.testing.assert_allclose(result.sIoU_pred, expected[4], rtol=1e-9)
        for name, components in zip(result._fields[2:4], expected[2:4]):
            pixels = [len(component) for component in components]
            np.testing.assert_array_equal(getattr(result, name), pixels)
        met += (result.sIoU > 0).sum()
    assert met > 10


def test_touching_corners_are_one_component():
    result = measure('#...', '.#..', '..O.', '+...')
    np.testing.assert_array_equal(result.object_sizes, [3])
    np.testing.assert_array_equal(result.prediction_sizes, [2, 1])
    np.testing.assert_array_equal(result.sIoU, [2 / 3])
    np.testing.assert_array_equal(result.PPV, [1, 0])


def test_pixels_on_other_objects_are_no_error():
    # The prediction covers the left object whole and half of the right one.
    result = measure('##+#O')
    np.testing.assert_array_equal(result.sIoU, [2 / 3, 1 / 3])
    np.testing.assert_array_equal(result.PPV, [3 / 4])


def test_fragments_of_an_object_count_together():
    result = measure('##O#+')
    np.testing.assert_array_equal(result.sIoU, [3 / 5])
    # Of each fragment the object's part under the other is no error.
    np.testing.assert_array_equal(result.sIoU_pred, [2 / 3, 1 / 3])


def test_predicted_overlap_differs_from_precision():
    # One pixel of an object of six: all of the prediction is right.
    result = measure('#OO', 'OOO', '...', '.++')
    np.testing.assert_array_equal(result.PPV, [1, 0])
    np.testing.assert_array_equal(result.sIoU_pred, [1 / 6, 0])
    pooled = pool_components([result])
    assert (pooled['PPV'], pooled['sIoU_pred']) == (1 / 2, 1 / 12)
    assert pooled['FP@25'] == 1  # by PPV, as the benchmark counts


def test_ignored_pixels_divide_a_prediction():
    # One component in the image, 2 + 3 pixels where it counts.
    rows = ('.##X+++.',)
    result = measure(*rows)
    np.testing.assert_array_equal(result.prediction_sizes, [2, 3])
    result = measure(*rows, prediction=3)
    np.testing.assert_array_equal(result.prediction_sizes, [3])
    np.testing.assert_array_equal(result.sIoU, [0])


def test_small_objects_become_ignored_and_do_not_divide():
    # The object of one pixel takes it from the prediction, which is not
    # measured anew: 3 pixels remain of 4 that it needs, on both sides.
    result = measure('++#+.OO', prediction=4, objects=2)
    np.testing.assert_array_equal(result.prediction_sizes, [3])
    np.testing.assert_array_equal(result.object_sizes, [2])
    np.testing.assert_array_equal(result.PPV, [0])
    # Of a prediction on a dropped object nothing remains.
    result = measure('.##...++', objects=3)
    np.testing.assert_array_equal(result.prediction_sizes, [2])
    assert result.sIoU.size == 0


def test_sizes_count_from_the_limit_on():
    rows = ('##.+++', '......', 'OO.O..')
    result = measure(*rows, prediction=2, objects=2)
    np.testing.assert_array_equal(result.object_sizes, [2, 2])
    np.testing.assert_array_equal(result.prediction_sizes, [2, 3])
    result = measure(*rows, prediction=3, objects=3)
    assert result.object_sizes.size == 0
    np.testing.assert_array_equal(result.prediction_sizes, [3])


def test_default_sizes_are_those_of_the_anomaly_track():
    prediction, label = np.zeros((2, 100, 100), int)
    prediction[:20, :25], prediction[50:70, :24] = 1, 1  # 500 and 480
    label[:10, 80:90], label[50:59, 80:91] = 1, 1  # 100 and 99
    result = frame_components(prediction == 1, label)
    np.testing.assert_array_equal(result.prediction_sizes, [500])
    np.testing.assert_array_equal(result.object_sizes, [100])
    pooled = component_metrics([prediction == 1], [label])
    assert (pooled['FN@50'], pooled['FP@50']) == (1, 1)


def test_other_labels_are_id_and_inputs_stay():
    prediction, label = golden_frame()
    label[label == 0] = 7
    result = frame_components(prediction, label, 4, 2)
    expected = frame_components(*golden_frame(), 4, 2)
    for left, right in zip(result, expected):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(prediction, golden_frame()[0])
    assert np.unique(label).tolist() == [1, 7, 255]


@pytest.mark.parametrize(
    ('rows', 'objects', 'predictions'),
    [
        (('...', '...'), 0, 0),
        (('xxx', 'xXX'), 0, 0),
        (('OO.', '...'), 1, 0),
        (('++.', '...'), 0, 1),
        ((), 0, 0),
    ],
)
def test_frames_without_components(rows, objects, predictions):
    label = np.zeros((0, 3))
    args = drawn(*rows) if rows else (label == 1, label)
    result = frame_components(*args, 1, 1)
    np.testing.assert_array_equal(result.sIoU, np.zeros(objects))
    np.testing.assert_array_equal(result.PPV, np.zeros(predictions))
    np.testing.assert_array_equal(result.sIoU_pred, np.zeros(predictions))
    assert result.object_sizes.shape == (objects,)
    assert result.prediction_sizes.shape == (predictions,)


def test_pooled_thresholds_include_equality():
    # 0.6 is less than the eighth of np.linspace(0.25, 0.75, 11).
    result = pool_components([frame([0.6, 0.25], [0.6, 0.5])])
    counts = [(result[f'TP@{t}'], result[f'FP@{t}']) for t in PERCENT]
    expected = [(2, 0)] + [(1, 0)] * 5 + [(1, 1)] * 2 + [(0, 2)] * 3
    assert counts == expected
    assert [result[f'FN@{t}'] for t in PERCENT] == [2 - c[0] for c in expected]


def test_smiyc_takes_its_thresholds_from_a_linspace():
    frames = [frame([0.6, 0.25], [0.6, 0.5])]
    ours, theirs = pool_components(frames), pool_components(frames, 'smiyc')
    assert (ours['TP@60'], ours['FN@60'], ours['FP@60']) == (1, 1, 1)
    assert (theirs['TP@60'], theirs['FN@60'], theirs['FP@60']) == (0, 2, 2)
    moved = [key for key in ours if ours[key] != theirs[key]]
    assert moved == ['F1*', 'TP@60', 'FN@60', 'FP@60', 'F1@60']
    with pytest.raises(ValueError, match="'definition', 'smiyc'.*'coco'"):
        pool_components([], 'coco')


def test_pooled_counts_come_before_f1():
    # The mean of the two frames' own F1 would be 1/2.
    result = pool_components([frame([1], [1]), frame([0] * 3, [])])
    assert result['F1*'] == result['F1@50'] == pytest.approx(0.4)
    assert (result['sIoU'], result['PPV']) == (0.25, 1)


def test_mean_f1_is_over_the_thresholds():
    result = pool_components([frame([0.5], [0.3])])
    f1 = [1] * 2 + [2 / 3] * 4 + [0] * 5
    assert [result[f'F1@{t}'] for t in PERCENT] == pytest.approx(f1)
    assert result['F1*'] == pytest.approx(sum(f1) / 11)


@pytest.mark.parametrize('frames', [[], [frame()], [frame(), frame()]])
def test_nothing_to_measure_is_nan(frames):
    result = pool_components(frames)
    names = ('sIoU', 'PPV', 'sIoU_pred', 'F1*')
    assert np.isnan([result[name] for name in names]).all()
    assert np.isnan([result[f'F1@{t}'] for t in PERCENT]).all()
    assert [result[f'{k}@50'] for k in ('TP', 'FN', 'FP')] == [0, 0, 0]


def test_one_empty_side_is_nan_only_where_undefined():
    missed = pool_components([frame([0, 0], [])])
    assert (missed['sIoU'], missed['F1*'], missed['FN@25']) == (0, 0, 2)
    assert np.isnan([missed['PPV'], missed['sIoU_pred']]).all()
    alarms = pool_components([frame([], [0])])
    assert (alarms['PPV'], alarms['F1*'], alarms['FP@25']) == (0, 0, 1)
    assert alarms['sIoU_pred'] == 0
    assert np.isnan(alarms['sIoU'])


def test_ranks_pool_to_the_set():
    rng = np.random.default_rng(0)
    predictions = rng.random((6, 12, 12)) < 0.5
    labels = rng.choice([0, 1, 255], (6, 12, 12), p=[0.5, 0.4, 0.1])
    sizes = dict(min_prediction_size=3, min_object_size=2)
    whole = component_metrics(predictions, labels, **sizes)
    frames = [
        frame_components(*pair, **sizes) for pair in zip(predictions, labels)
    ]
    ranks = pickle.loads(pickle.dumps([frames[1::2], frames[::2]]))
    assert pool_components(ranks[0] + ranks[1]) == pytest.approx(whole)
    assert whole['TP@25'] + whole['FN@25'] > 10


@pytest.mark.parametrize(
    ('prediction', 'label'),
    [((4, 5), (5, 4)), ((4, 5), (1, 4, 5)), ((2, 4, 5), (2, 4, 5))],
)
def test_refuses_shapes_that_are_no_frame(prediction, label):
    with pytest.raises(ValueError) as caught:
        frame_components(np.zeros(prediction, bool), np.zeros(label))
    assert str(prediction) in str(caught.value)
    assert str(label) in str(caught.value)


def test_refuses_scores_and_other_numbers_of_frames():
    prediction, label = golden_frame()
    with pytest.raises(ValueError, match='boolean, got float32'):
        frame_components(prediction.astype(np.float32), label)
    with pytest.raises(ValueError, match='label has 1 nan'):
        frame_components(np.zeros((1, 2), bool), np.array([[np.nan, 1]]))
    with pytest.raises(ValueError, match='2 predictions and 1 labels'):
        component_metrics([prediction] * 2, [label])
