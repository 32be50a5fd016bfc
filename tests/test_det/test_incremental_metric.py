"""The metric on samples, its measures being tested on their own."""

import json
import logging
import re

import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmood.metrics.detection import EmptySetWarning
from mmood.metrics.voc import match_class
from mmood.registry import METRICS
from voc_helpers import as_sample, golden, image, random_images, two_processes

CLASSES = ('cat', 'dog', 'fox', 'emu')
GROUPS = dict(old=['dog', 'cat'], new=['fox'])
BOX = (0, 0, 10, 10)


def build(groups=GROUPS, **kwargs):
    metric = METRICS.build(
        dict(type='mmood.IncrementalDetMetric', groups=groups, **kwargs)
    )
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def evaluate(images, groups=GROUPS, **kwargs):
    metric = build(groups, **kwargs)
    for one in images:
        metric.process({}, [as_sample(one)])
    return metric.evaluate(len(images))


@pytest.mark.parametrize('style', ['area', '11points'])
def test_means_over_groups_and_ious(style):
    images = random_images(0, count=40)
    result = evaluate(images, style=style)
    ious = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    ap = 100 * np.array(
        [
            [match_class(images, c, i).average_precision(style) for i in ious]
            for c in range(3)
        ]
    )
    columns = dict(AP=ap.mean(1), AP50=ap[:, 0], AP75=ap[:, 5])
    expected = {}
    for key, values in columns.items():
        expected[f'voc/{key}'] = values.mean()
        expected[f'voc/old/{key}'] = values[:2].mean()
        expected[f'voc/new/{key}'] = values[2]
        if key != 'AP':
            for name, value in zip(CLASSES, values):
                expected[f'voc/{key}/{name}'] = value
    assert result == pytest.approx(expected, abs=1e-3)
    assert len(set(result.values())) > 12


def test_published_example_and_a_group_without_classes():
    """Cats as in the open-set example; the base step has nothing new."""
    result = evaluate(golden(), dict(old=['cat'], new=[]), style='area')
    assert result['voc/AP50'] == pytest.approx(83.3333, abs=1e-4)
    assert result['voc/AP50/cat'] == result['voc/old/AP50']
    # At most 0.901 of the third detection's object overlap, so it stays so.
    assert result['voc/AP75'] == result['voc/AP50']
    assert not [key for key in result if 'new' in key or 'dog' in key]


def test_difficult_objects_do_not_count():
    images = [
        image([(BOX, 0.9, 0)], [(BOX, 0, 1)]),
        image([(BOX, 0.8, 0)], [(BOX, 0, 0)]),
    ]
    assert evaluate(images, dict(old=['cat']))['voc/AP'] == 100


def test_classes_without_objects_and_without_detections():
    images = [image([(BOX, 0.9, 0), (BOX, 0.8, 2)], [(BOX, 0, 0)])]
    with pytest.warns(EmptySetWarning, match="group 'new' has objects"):
        result = evaluate(images)
    assert np.isnan(result['voc/AP50/fox']) and np.isnan(result['voc/new/AP'])
    assert result['voc/old/AP'] == result['voc/AP'] == 100
    nothing = [image([], [(BOX, c, 0) for c in range(3)]), image()]
    assert set(evaluate(nothing).values()) == {0.0}


def test_files_and_table(tmp_path):
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        images = random_images(1, count=40)
        result = evaluate(images, out_dir=str(tmp_path / 'a'))
    finally:
        logger.removeHandler(handler)
    written = json.loads((tmp_path / 'a' / 'metrics.json').read_text())
    assert {f'voc/{k}': v for k, v in written.items()} == result
    assert [p.name for p in (tmp_path / 'a').iterdir()] == ['metrics.json']
    rows = {}
    for row in re.findall(r'^\| (\w+) *\|(.*)\|$', lines[-1], re.MULTILINE):
        rows[row[0]] = [float(c) for c in row[1].split('|')[-2:] if '.' in c]
    del rows['classes']
    expected = {
        name: [result[f'voc/{name}/AP50'], result[f'voc/{name}/AP75']]
        for name in GROUPS
    }
    expected['all'] = [result['voc/AP50'], result['voc/AP75']]
    for name in CLASSES[:3]:
        keys = ('AP50', 'AP75')
        expected[name] = [result[f'voc/{key}/{name}'] for key in keys]
    assert list(rows) == ['old', 'new', 'all', 'cat', 'dog', 'fox']
    for name, values in expected.items():
        assert rows[name] == pytest.approx(values, abs=0.01)


def test_one_and_two_processes_agree(tmp_path):
    """With tied scores, and the last batch filled up with a repetition."""
    images = random_images(2, count=21, decimals=1)
    samples = [as_sample(one) for one in images]
    expected = evaluate(images)
    assert two_processes(build, samples, tmp_path) == [expected, expected]


@pytest.mark.parametrize(
    ('groups', 'message'),
    [
        ({}, r'groups must hold classes, each once, got \{\}'),
        (dict(old=[], new=[]), 'groups must hold classes'),
        (dict(old=['cat', 'dog'], new=['cat']), r"with \['cat'\] more than"),
    ],
)
def test_bad_groups_are_refused_before_the_test(groups, message):
    with pytest.raises(ValueError, match=message):
        build(groups)


def test_bad_input_is_named():
    message = r"groups name the classes \['ox'\].*\['cat', 'dog'.*correct"
    with pytest.raises(ValueError, match=message):
        evaluate(golden(), dict(old=['ox', 'cat']))
    with pytest.raises(ValueError, match="style must be .*got 'coco'"):
        build(style='coco')
    bare = as_sample(golden()[0])
    del bare['instances']
    with pytest.raises(ValueError, match="no 'instances'"):
        build().process({}, [bare])


def test_only_images_of_one_id_set_are_measured():
    one = as_sample(golden()[0])
    with pytest.raises(ValueError, match="ID sets, got one named 'far'"):
        build().process({}, [dict(one, origin='far')])
    metric = build()
    metric.process({}, [dict(one, img_id=3)] * 2)
    with pytest.raises(ValueError, match='image 3 is there twice'):
        metric.evaluate(2)
