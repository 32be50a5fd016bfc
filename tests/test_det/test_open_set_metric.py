"""The metric on samples, its measures being tested on their own."""

import json
import logging
import math
import re
import warnings

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from mmood.metrics.detection import EmptySetWarning
from mmood.metrics.open_set import open_set_metrics
from mmood.registry import METRICS
from voc_helpers import (
    CAT,
    DOG,
    UNKNOWN,
    as_sample,
    golden,
    image,
    random_images,
    two_processes,
)

BOX, FAR = (0, 0, 10, 10), (50, 50, 70, 70)
CLOSED = image(
    [(BOX, 0.9, CAT), (FAR, 0.3, DOG)], [(BOX, CAT, 0), (FAR, DOG, 0)]
)


def build(classes=('cat', 'dog'), **kwargs):
    metric = METRICS.build(dict(type='mmood.OpenSetDetMetric', **kwargs))
    metric.dataset_meta = dict(classes=classes)
    return metric


def evaluate(samples, **kwargs):
    metric = build(**kwargs)
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def of_set(result, name):
    """Measures of a set, without the rest of their keys."""
    start = f'ood/{name}/open_set/'
    return {k[len(start) :]: v for k, v in result.items() if start in k}


def test_published_example():
    result = evaluate(
        [as_sample(i) for i in golden()], closed_style='area', rounds=False
    )
    expected = dict(WI=25.0, AOSE=3, mAP_K=91.6667, AP_U=66.6667)
    measured = of_set(result, 'id')
    assert expected == pytest.approx(
        {k: measured[k] for k in expected}, abs=1e-4
    )
    assert result['ood/closed_mAP_K'] == measured['mAP_K']
    # F1 is best at the cats' third and the dogs' first detection.
    assert result['ood/score_threshold'] == pytest.approx((0.85 + 0.9) / 2)
    assert math.isnan(result['ood/ood_threshold'])


def test_each_set_is_evaluated_together_with_the_id_images():
    images = random_images(0, count=30)
    origins = ['id', 'near', 'id', 'far', 'near'] * 6
    samples = [as_sample(i, o) for i, o in zip(images, origins)]
    result = evaluate(samples, classes='abc', rounds=False)
    for name, style in (('id', '11points'), ('near', 'area'), ('far', 'area')):
        chosen = [i for i, o in zip(images, origins) if o in ('id', name)]
        expected = open_set_metrics(chosen, 3, style=style)
        assert of_set(result, name) == pytest.approx(expected, abs=1e-4)
    assert result['ood/closed_mAP_K'] == result['ood/id/open_set/mAP_K']
    near, far = of_set(result, 'near'), of_set(result, 'far')
    assert near['AOSE'] != far['AOSE'] and near['WI'] != far['WI']


def test_an_open_world_by_hand():
    """Cats are known before the last step, dogs since; foxes are to come.

    A cat is found at once, a dog behind a box on an unknown object. Of three
    unknown objects one is called so, one a dog; IoU 0.5 is not above 0.5.
    """
    fox, half = 3, (50, 50, 60, 70)
    first = image(
        [(BOX, 0.9, CAT), (FAR, 0.8, DOG), (half, 0.7, fox)],
        [(BOX, CAT, 0), (FAR, fox, 0)],
    )
    second = image(
        [(BOX, 0.6, DOG), (FAR, 0.5, fox), (FAR, 0.4, fox)],
        [(BOX, DOG, 0), (FAR, fox, 0), ((80, 80, 90, 90), fox, 0)],
    )
    result = evaluate(
        [as_sample(first), as_sample(second)],
        classes=('cat', 'dog', 'fox'),
        groups=dict(old=['cat'], new=['dog']),
        closed_style='area',
    )
    found = {key: result[f'ood/{key}'] for key in ('old/AP50', 'new/AP50')}
    assert found == {'old/AP50': 100.0, 'new/AP50': 50.0}
    assert result['ood/AP50'] == result['ood/id/open_set/mAP_K'] == 75.0
    assert (result['ood/AP50/cat'], result['ood/AP50/dog']) == (100, 50)
    assert 'ood/AP50/fox' not in result
    measured = of_set(result, 'id')
    # Recall 0.8 is nearest at the cat, and at the second box of the dogs.
    assert measured['WI'] == pytest.approx(100 * 1 / 3)
    assert measured['AOSE'] == 1
    assert measured['R_U'] == pytest.approx(100 / 3)  # U-Recall


def test_groups_are_checked():
    with pytest.raises(ValueError, match="'cat'. more than once"):
        build(groups=dict(old=['cat'], new=['cat']))
    with pytest.raises(ValueError, match=r"\['newt'\], which are not in"):
        evaluate([as_sample(CLOSED)], groups=dict(old=['cat', 'newt']))


def test_arguments_reach_the_measures():
    images = random_images(1, count=40)
    samples = [
        as_sample(i, 'id' if n % 2 else 'x') for n, i in enumerate(images)
    ]
    for choice in (dict(recall=0.3), dict(protocol='definition')):
        result = evaluate(
            samples,
            classes='abc',
            rounds=False,
            open_style='11points',
            **choice,
        )
        chosen = images[1::2] + images[::2]
        expected = open_set_metrics(chosen, 3, style='11points', **choice)
        assert of_set(result, 'x') == pytest.approx(expected, abs=1e-4)
        assert expected['WI'] != open_set_metrics(chosen, 3)['WI']


def test_rounding_makes_ties_that_go_by_the_order_of_images():
    miss = image([(FAR, 0.50001, CAT)])
    hit = image([(BOX, 0.50002, CAT)], [(BOX, CAT, 0)])
    samples = [as_sample(miss), as_sample(hit)]
    assert evaluate(samples, rounds=False)['ood/closed_mAP_K'] == 100
    assert evaluate(samples)['ood/closed_mAP_K'] == 50
    # An IoU of 0.504, which is 0.5 with the coordinate 5.0: not above.
    close = [
        as_sample(image([((0, 4.96, 10, 10), 0.9, CAT)], [(BOX, CAT, 0)]))
    ]
    assert evaluate(close, rounds=False)['ood/closed_mAP_K'] == 100
    assert evaluate(close)['ood/closed_mAP_K'] == 0


def test_thresholds_come_from_correct_id_boxes():
    """Of 40 true positives 38 have a score up to 0.37."""
    samples = []
    for i in range(40):
        one = image(
            [(BOX, 0.9 - i / 100, CAT), (FAR, 0.1, DOG), (FAR, 0.8, UNKNOWN)],
            [(BOX, CAT, 0)],
        )
        samples.append(as_sample(one, 'id', [i / 100, 9.0, 9.0]))
    # Neither do true ones of another set count.
    far = image([(BOX, 0.2, CAT)], [(BOX, CAT, 0)])
    samples.insert(3, as_sample(far, 'far', [9.0]))
    result = evaluate(samples)
    assert result['ood/ood_threshold'] == pytest.approx(0.37)
    # All cats are true ones, the last at 0.51; dogs have no true one.
    assert result['ood/score_threshold'] == pytest.approx(0.51)


def test_a_nan_score_leaves_no_threshold_and_all_else():
    samples = [as_sample(CLOSED, 'id', [float('nan'), 1.0])]
    result = evaluate(samples)
    assert math.isnan(result['ood/ood_threshold'])
    assert result['ood/closed_mAP_K'] == 100


def test_without_ood_scores_of_every_box_there_is_no_threshold():
    samples = [as_sample(CLOSED, 'id', [0.0, 1.0]), as_sample(CLOSED)]
    assert math.isnan(evaluate(samples)['ood/ood_threshold'])
    assert evaluate(samples[:1])['ood/ood_threshold'] == 1.0


def test_id_images_alone_are_a_closed_set():
    """Where unknown objects are not to be expected, nan comes silently."""
    with warnings.catch_warnings():
        warnings.simplefilter('error', EmptySetWarning)
        result = evaluate([as_sample(CLOSED)])
    measured = of_set(result, 'id')
    assert (measured['WI'], measured['AOSE']) == (0.0, 0)
    assert measured['mAP_K'] == 100
    assert math.isnan(measured['AP_U'])
    sets = {key.split('/')[1] for key in result if 'open_set' in key}
    assert sets == {'id'}


def test_an_open_set_without_unknown_objects():
    samples = [as_sample(CLOSED), as_sample(CLOSED, 'far')]
    with pytest.warns(EmptySetWarning, match='no unknown object in 2 images'):
        measured = of_set(evaluate(samples), 'far')
    assert (measured['WI'], measured['AOSE']) == (0.0, 0)
    assert math.isnan(measured['AP_U'])


def test_no_detection_in_the_whole_test():
    objects = [(BOX, CAT, 0), (FAR, DOG, 0)]
    samples = [
        as_sample(image([], objects), 'id', []),
        as_sample(image([], [(BOX, UNKNOWN, 0)]), 'far', []),
        as_sample(image(), 'far', []),
    ]
    result = evaluate(samples)
    assert set(of_set(result, 'far').values()) == {0.0}
    assert result['ood/closed_mAP_K'] == 0
    assert math.isnan(result['ood/ood_threshold'])
    assert math.isnan(result['ood/score_threshold'])


def test_files_and_table(tmp_path):
    samples = [as_sample(CLOSED, 'id', [0.0, 1.0])]
    samples += [as_sample(i, 'far', [0.0] * len(i.scores)) for i in golden()]
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        result = evaluate(samples, out_dir=str(tmp_path / 'a' / 'b'))
    finally:
        logger.removeHandler(handler)
    written = json.loads((tmp_path / 'a' / 'b' / 'metrics.json').read_text())
    expected = {k[len('ood/') :]: v for k, v in result.items()}
    assert written.keys() == expected.keys()
    for key, value in written.items():
        is_nan = math.isnan(expected[key])
        assert value == (None if is_nan else expected[key])
    assert [p.name for p in (tmp_path / 'a/b').iterdir()] == ['metrics.json']
    row = re.search(r'^\| far .*$', lines[-1], re.MULTILINE).group()
    cells = [float(cell) for cell in row.strip('|').split('|')[1:]]
    columns = ('WI', 'AOSE', 'mAP_K', 'AP_U', 'P_K', 'R_K', 'P_U', 'R_U')
    measured = of_set(result, 'far')
    assert cells == [pytest.approx(measured[c], abs=0.01) for c in columns]


def test_one_and_two_processes_agree(tmp_path):
    """With tied scores, and the last batch filled up with a repetition."""
    images = random_images(2, count=21, decimals=1)
    origins = ['id', 'id', 'far'] * 7
    rng = np.random.default_rng(0)
    samples = [
        as_sample(i, o, rng.random(len(i.scores)))
        for i, o in zip(images, origins)
    ]
    expected = evaluate(samples, classes='abc')
    both = two_processes(lambda: build('abc'), samples, tmp_path)
    assert both == [expected, expected]
    assert expected['ood/far/open_set/AOSE'] > 0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='no ID image'):
        evaluate([as_sample(CLOSED, 'far')])
    bare = as_sample(CLOSED)
    del bare['instances']
    with pytest.raises(ValueError, match="no 'instances'.*meta_keys"):
        evaluate([bare])
    metric = build()
    metric.dataset_meta = [dict(classes='ab'), dict(classes='c')]
    with pytest.raises(ValueError, match='ignore_keys'):
        metric.process({}, [as_sample(CLOSED)])
    with pytest.raises(ValueError, match='labels must be 0 to 0.*got 2'):
        evaluate([as_sample(i) for i in golden()], classes=['cat'])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(protocol='owod'), "protocol must be .*got 'owod'"),
        (dict(recall=1.5), 'recall must be .*got 1.5'),
        (dict(closed_style='coco'), "style must be .*got 'coco'"),
        (dict(open_style='voc'), "style must be .*got 'voc'"),
    ],
)
def test_bad_choices_are_refused_before_the_test(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_half_precision():
    one = as_sample(CLOSED, 'id', [0.0, 1.0])
    pred = one['pred_instances']
    for key in ('bboxes', 'scores', 'ood_scores'):
        pred[key] = pred[key].to(torch.bfloat16)
    result = evaluate([one])
    assert result['ood/closed_mAP_K'] == 100
    assert result['ood/ood_threshold'] == 1.0


def test_populations_are_not_mixed():
    known, far = as_sample(CLOSED), as_sample(CLOSED, 'far')
    with pytest.raises(ValueError, match="7 is there twice in the set 'id'"):
        evaluate([dict(known, img_id=7)] * 2)
    with pytest.raises(ValueError, match="'far' of b.json and the set 'far'"):
        files = [dict(far, ann_file=name) for name in ('a.json', 'b.json')]
        evaluate([known, *files])
    with pytest.raises(ValueError, match="'far' have .'dog', 'cat'.: put the"):
        evaluate([known, dict(far, classes=('dog', 'cat'))])
    del known['origin']
    with pytest.raises(ValueError, match='does not say which set'):
        evaluate([known])
