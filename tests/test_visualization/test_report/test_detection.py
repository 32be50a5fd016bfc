"""The numbers of boxes on the page against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.metrics import (
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

SCORES, SETS = ('energy', 'msp'), ('far', 'near')


@pytest.fixture
def shown(box_test, read):
    folder, sets = box_test()
    content, _ = read(folder)
    return content['runs'][0], sets


def counts(run, score, name):
    found = run['counted'][score]
    grid = np.array(found['thresholds'])
    return grid, {k: np.array(v) for k, v in found['sets'][name].items()}


@pytest.mark.parametrize('score', SCORES)
@pytest.mark.parametrize('name', SETS)
def test_curves_are_scikit_learns(shown, score, name):
    run, sets = shown
    known, unknown = (sets[o]['scores'][score] for o in ('id', name))
    is_ood = np.repeat([0, 1], [len(known), len(unknown)])
    scores = np.concatenate([known, unknown]).astype(float)
    fpr, tpr, thresholds = roc_curve(is_ood, scores, drop_intermediate=False)
    precision, recall, lowest = precision_recall_curve(is_ood, scores)
    grid, found = counts(run, score, name)
    for place, threshold in enumerate(grid):
        # Theirs are "from a score on", ours "above".
        point = (thresholds > threshold).sum() - 1
        lost, hit = found['id'][place], found['ood'][place]
        assert lost / len(known) == pytest.approx(fpr[point])
        assert hit / len(unknown) == pytest.approx(tpr[point])
        if lost + hit:
            point = np.searchsorted(lowest, threshold, side='right')
            assert hit / (lost + hit) == pytest.approx(precision[point])
            assert hit / len(unknown) == pytest.approx(recall[point])
    (row,) = [
        one['values']
        for one in run['measures']
        if (one['set'], one['score']) == (name, score)
    ]
    assert row['AUROC'] == pytest.approx(roc_auc_score(is_ood, scores))


@pytest.mark.parametrize('score', SCORES)
def test_the_page_starts_at_the_threshold_of_the_test(shown, score):
    run, sets = shown
    grid, found = counts(run, score, 'far')
    start = run['counted'][score]['start']
    known = sets['id']['scores'][score]
    gamma = np.sort(known)[int(np.ceil(0.95 * len(known))) - 1]
    assert grid[start] == gamma
    # What the metric calls flagged is the share of objects that are found.
    values = [r['values'] for r in run['measures'] if r['set'] == 'far']
    flagged = values[SCORES.index(score)]['flagged']
    assert found['objects'][start] == round(flagged * found['num_objects'])
    recall = values[0]['recall']
    assert found['boxed'] == round(recall * found['num_objects'])


def test_rows_of_classes_add_up(shown):
    run, sets = shown
    grid, found = counts(run, 'energy', 'near')
    labels = np.concatenate([i['labels'] for i in sets['near']['images']])
    values = sets['near']['scores']['energy']
    names = run['counted']['energy']['sets']['near']['classes']
    assert [row['name'] for row in names] == ['cat', 'dog', 'horse']
    for number, row in enumerate(names):
        left = row['num_ood'] - np.cumsum(row['ood'])
        own = values[labels == number]
        assert left.tolist() == [(own > t).sum() for t in grid]
    total = sum(np.array(row['id']) for row in names)
    left = found['num_id'] - np.cumsum(total)
    assert (left == found['id']).all()


def test_rows_of_categories_are_those_of_the_objects(shown):
    run, sets = shown
    rows = run['counted']['msp']['sets']['far']['categories']
    labels = [i['object_labels'] for i in sets['far']['images']]
    numbers = np.bincount(np.concatenate(labels))
    assert {row['name']: row['total'] for row in rows} == dict(
        zebra=numbers[0], elk=numbers[1]
    )
    _, found = counts(run, 'msp', 'far')
    assert sum(row['boxed'] for row in rows) == found['boxed']
    taken = sum(np.array(row['steps']) for row in rows)
    assert (found['boxed'] - np.cumsum(taken) == found['objects']).all()


def test_cases_are_the_extremes(shown):
    run, sets = shown
    found = {}
    for case in run['cases']:
        key = case['kind'], case['score'], case['set']
        found.setdefault(key, []).append(case)
    values = sets['id']['scores']['energy']
    alarms = [case['value'] for case in found['alarm', 'energy', 'id']]
    best = [v.max() for v in np.split(values, 6)]  # five boxes an image
    assert alarms == sorted(map(float, best), reverse=True)
    misses = found['miss', 'msp', 'far']
    assert [c['value'] for c in misses] == sorted(c['value'] for c in misses)
    finds = found['find', 'msp', 'far']
    assert finds[0]['value'] > misses[0]['value']
    assert len(found['unseen', None, 'far']) == 6
    for case in misses:
        scene = run['scenes'][case['scene']]
        box = scene['boxes'][case['box'] - scene['first_box']]
        assert box[4] == case['class'] and len(scene['boxes']) == 5
        assert box[6 + run['allScores'].index('msp')] == case['value']
        corners = [o[:4] for o in scene['objects']]
        assert box[:4] in corners  # it lies on an object
    for case in found['unseen', None, 'near']:
        scene = run['scenes'][case['scene']]
        place = case['object'] - scene['first_object']
        assert scene['objects'][place][:4] == [0, 0, 5, 5]


def test_a_score_that_is_no_number(box_test, read):
    folder, _ = box_test()
    path = folder / 'ood_scores_msp.npz'
    with np.load(path) as file:
        scores = dict(file)
    scores['far'][:2] = np.nan
    scores['far'][2] = np.inf
    np.savez(path, **scores)
    metrics = json.loads((folder / 'metrics.json').read_text())
    metrics['ood_threshold/msp'] = metrics['far/msp/AUROC'] = None
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    run = read(folder)[0]['runs'][0]
    found = run['counted']['msp']['sets']['far']
    assert (found['nans'], found['num_ood']) == (2, 28)
    assert found['ood'][-1] == 1
    finds = [c for c in run['cases'] if c['kind'] == 'find']
    assert 'Infinity' in {c['value'] for c in finds if c['score'] == 'msp'}


@pytest.mark.filterwarnings('ignore:no kept box')
def test_a_test_without_any_box(box_test, read):
    folder, _ = box_test(boxes=0, ood=('far',))
    content, _ = read(folder)
    run = content['runs'][0]
    assert (run['counted'], run['scores']) == ({}, [])
    assert {case['kind'] for case in run['cases']} == {'unseen'}
