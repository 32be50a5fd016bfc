"""Open-set measures, matched boxes and calibration of `OODDetMetric`."""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from helpers import write_coco
from mmood.metrics import EmptySetWarning
from mmood.registry import METRICS
from ood_det_helpers import CLASSES, evaluate, sample
from voc_helpers import fmiyc_toy, two_processes

BOX = [4.0, 4.0, 24.0, 24.0]
BIG = [10.0, 10.0, 40.0, 40.0]
OFF = [30.0, 2.0, 46.0, 12.0]
OPEN = ('AP_U', 'P_U', 'R_U', 'nOSE', 'AOSE', 'WI')
OF_ID = ('AP_K', 'P_K', 'R_K', 'AP_K_cost')
MATCHED = ('matched_FPR95', 'matched_AUROC', 'matched_AUPR')
EVERY = dict(open_set=True, matched=True, calibration=True)


@pytest.fixture
def ann(tmp_path):
    boxes = [[[4, 4, 20, 20]], [[10, 10, 30, 30]], []]
    return write_coco(tmp_path, boxes, CLASSES)


def id_samples():
    """Two cats, both found; scores -5 and -4."""
    return [
        sample('id', 1, [BOX], [0.9], [-5.0], [(BOX, 0)]),
        sample('id', 2, [BIG], [0.8], [-4.0], [(BIG, 0)]),
        sample('id', 3, [], [], []),
    ]


def toy(name='near'):
    """That of the benchmark; unknown is what scores above -4."""
    (one,) = fmiyc_toy()
    scores, objects = [1.0, 2.0, -9.0, -4.0], [(b, 0) for b in one.gt_boxes]
    labels = [0, 1, 1, 1]
    return sample(name, 1, one.boxes, one.scores, scores, objects, labels)


def test_golden_toy_of_the_benchmark(ann):
    result = evaluate(
        ann, [*id_samples(), toy()], score_threshold=0.5, open_set=True
    )
    expected = dict(AP_U=0.5, P_U=0.5, R_U=0.5, AOSE=1, nOSE=0.5)
    # The two cats, which are true, and the first of the dogs, on B.
    expected['WI'] = 1 / 3
    found = {k: result[f'ood/near/energy/{k}'] for k in OPEN}
    assert found == pytest.approx(expected)
    assert isinstance(found['AOSE'], int)
    assert result['ood/AP_K'] == 1
    found = [result[f'ood/id/energy/{k}'] for k in OF_ID]
    assert found == [1, 1, 1, 0]


def test_only_boxes_that_count_are_measured(ann):
    """The second box on A, of 0.8, is out at 0.85, and so is one ID box."""
    samples = [*id_samples(), toy()]
    result = evaluate(ann, samples, score_threshold=0.85, open_set=True)
    found = [result[f'ood/near/energy/{k}'] for k in OPEN]
    assert found == [0.5, 1, 0.5, 0, 0, 0]  # B's is out, too
    assert result['ood/AP_K'] == 0.5


def test_what_a_threshold_costs(ann):
    """One that keeps half of the ID boxes calls the second cat unknown."""
    samples = [*id_samples(), toy()]
    result = evaluate(
        ann, samples, score_threshold=0.5, tpr=0.5, open_set=True
    )
    assert result['ood/ood_threshold/energy'] == -5
    # Dogs have no object: the mean is that of the cats.
    found = {k: result[f'ood/id/energy/{k}'] for k in OF_ID}
    assert found == dict(AP_K=0.5, P_K=1, R_K=0.5, AP_K_cost=0.5)
    # Now the dog that is far off is unknown, too: a false one.
    found = {k: result[f'ood/near/energy/{k}'] for k in OPEN}
    expected = dict(AP_U=0.5, P_U=1 / 3, R_U=0.5, AOSE=1, nOSE=0.5, WI=0)
    expected['WI'] = 1 / 2  # one cat, true; of the dogs one, on B
    assert found == pytest.approx(expected)


def test_all_boxes_unknown_and_none(ann):
    samples = [*id_samples(), toy()]
    pred = samples[-1]['pred_instances']
    # Ranks of 0.9, 0.8, 0.7 and 0.6: true, false, true, false.
    expected = {99.0: [(1 + 2 / 3) / 2, 0.5, 1, 0, 0, 0]}
    # One of each class is taken: a cat of three, on A, and the first dog.
    expected[-99.0] = [0, 0, 0, 1.5, 3, 2 / 4]
    for value, measures in expected.items():
        pred['ood_scores_energy'] = torch.full((4,), value)
        result = evaluate(ann, samples, score_threshold=0.5, open_set=True)
        found = [result[f'ood/near/energy/{k}'] for k in OPEN]
        assert found == pytest.approx(measures)


def test_crowds_need_not_be_found_nor_are_they_known(ann):
    near = [
        sample('near', 1, [BOX], [0.9], [9.0], [(BOX, 1), (BIG, 0)]),
        sample('near', 2, [BOX], [0.8], [-9.0], [(BOX, 1)]),
    ]
    result = evaluate(
        ann, [*id_samples(), *near], score_threshold=0.5, **EVERY
    )
    found = {k: result[f'ood/near/energy/{k}'] for k in OPEN}
    # One object; the unknown box is neither true nor false.
    assert [found[k] for k in ('AP_U', 'P_U', 'R_U')] == [0, 0, 0]
    assert (found['AOSE'], found['nOSE']) == (1, 1)
    assert math.isnan(result['ood/near/energy/matched_AUROC'])


def test_nothing_is_added_unasked(ann):
    result = evaluate(ann, [*id_samples(), toy()], score_threshold=0.5)
    asked = evaluate(ann, [*id_samples(), toy()], score_threshold=0.5, **EVERY)
    more = [f'near/energy/{k}' for k in (*OPEN, *MATCHED)]
    more += ['AP_K', *(f'id/energy/{k}' for k in OF_ID)]
    more += [k[4:] for k in asked if k.startswith('ood/calibration/')]
    assert set(asked) - set(result) == {f'ood/{k}' for k in more}
    assert len(more) == 6 + 3 + 1 + 4 + 8
    for key, value in result.items():
        assert asked[key] == pytest.approx(value, nan_ok=True)


def test_matched_populations(ann):
    """Of ID: no box of another class, none off; of near: none off."""
    samples = id_samples()
    samples[2] = sample(
        'id',
        3,
        [BOX, OFF, BIG],
        [0.9, 0.9, 0.9],
        [3.0, 9.0, -6.0],
        [(BOX, 0), (BIG, 0)],
        [1, 0, 0],
    )
    samples += [
        sample('near', 1, [BOX, OFF], [0.7, 0.7], [-4.5, -9.0], [(BOX, 0)]),
        sample('near', 2, [BIG], [0.7], [1.0], [(BIG, 0)]),
    ]
    result = evaluate(ann, samples, score_threshold=0.5, matched=True)
    for key, known, unknown in (
        ('AUROC', [-5, -4, 3, 9, -6], [-4.5, -9, 1]),
        ('matched_AUROC', [-5, -4, -6], [-4.5, 1]),
    ):
        truth = [0] * len(known) + [1] * len(unknown)
        expected = roc_auc_score(truth, known + unknown)
        found = result[f'ood/near/energy/{key}']
        assert found == pytest.approx(expected)
    assert found == pytest.approx(5 / 6)
    # All known ones pass at -4, and so does -4.5.
    assert result['ood/near/energy/matched_FPR95'] == 0.5


def test_calibration_of_id_boxes(ann):
    samples = id_samples()
    samples[2] = sample(
        'id', 3, [BIG, OFF], [0.7, 0.6], [0.0, 0.0], [(BIG, 0)], [1, 0]
    )
    # The boxes of other sets, and those that do not count, are left out.
    samples += [toy(), sample('far', 1, [BOX], [0.95], [0.0])]
    result = evaluate(ann, samples, score_threshold=0.5, calibration=True)
    p, y = np.float32([0.9, 0.8, 0.7, 0.6]).astype(float), [1, 1, 0, 0]
    found = {k: result[f'ood/calibration/{k}'] for k in ('NLL', 'Brier')}
    assert found['NLL'] == pytest.approx(log_loss(y, p), rel=1e-6)
    assert found['Brier'] == pytest.approx(brier_score_loss(y, p), rel=1e-6)
    # Each in a bin of its own.
    expected = (0.1 + 0.2 + 0.7 + 0.6) / 4
    assert result['ood/calibration/ECE'] == pytest.approx(expected, rel=1e-6)


def nan_of(result, place, keys):
    return [math.isnan(result[f'ood/{place}/{key}']) for key in keys]


def test_no_box_at_all(ann):
    samples = [sample('id', i, [], [], [], [(BOX, 0)]) for i in (1, 2, 3)]
    samples.append(sample('near', 1, [], [], [], [(BOX, 0)]))
    with pytest.warns(EmptySetWarning) as caught:
        result = evaluate(ann, samples, **EVERY)
    said = {str(w.message).partition(':')[0] for w in caught}
    assert said >= {
        'no ID box that counts is correct',
        "no box on an object of the set 'near'",
        'no correct and no wrong box among 0 on the ID images',
    }
    # There is no threshold, hence nothing that it makes unknown.
    assert all(nan_of(result, 'near/energy', (*OPEN, *MATCHED)))
    assert all(nan_of(result, 'id/energy', OF_ID))
    assert result['ood/AP_K'] == 0
    assert math.isnan(result['ood/calibration/ECE'])


def test_no_ood_object_and_no_ood_box(ann):
    samples = [*id_samples(), sample('near', 1, [BOX], [0.9], [9.0])]
    samples.append(sample('far', 1, [], [], [], [(BOX, 0)]))
    with pytest.warns(EmptySetWarning) as caught:
        result = evaluate(ann, samples, score_threshold=0.5, **EVERY)
    said = {str(w.message).partition(':')[0] for w in caught}
    assert "no unknown object in 1 images of the set 'near'" in said
    assert nan_of(result, 'near/energy', OPEN) == [True] * 4 + [False] * 2
    assert result['ood/near/energy/AOSE'] == 0
    assert [result[f'ood/far/energy/{k}'] for k in OPEN] == [0] * 6
    assert all(nan_of(result, 'near/energy', MATCHED))
    assert all(nan_of(result, 'far/energy', MATCHED))


def test_no_ood_set_and_no_id_object(tmp_path, ann):
    result = evaluate(ann, id_samples(), score_threshold=0.5, open_set=True)
    assert result['ood/id/energy/AP_K'] == 1
    empty = write_coco(tmp_path / 'empty', [[], [], []], CLASSES)
    samples = [sample('id', i, [BOX], [0.9], [-5.0]) for i in (1, 2, 3)]
    with pytest.warns(EmptySetWarning):
        result = evaluate(empty, [*samples, toy()], **EVERY)
    assert math.isnan(result['ood/AP_K'])
    assert all(nan_of(result, 'id/energy', OF_ID))
    assert result['ood/near/energy/AP_U'] == 0.5


def test_a_nan_score_is_nan_where_it_is(ann):
    samples = [*id_samples(), toy(), toy('far')]
    for one in samples:
        pred = one['pred_instances']
        for name in 'ab':
            pred[f'ood_scores_{name}'] = pred['ood_scores'].clone()
    samples[0]['pred_instances']['ood_scores_a'][:] = math.nan
    # This box lies on no object.
    samples[3]['pred_instances']['ood_scores_b'][3] = math.nan
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        result = evaluate(
            ann, samples, score_threshold=0.5, open_set=True, matched=True
        )
    for place in ('near/a', 'far/a', 'near/b'):
        assert all(nan_of(result, place, OPEN))
    assert all(nan_of(result, 'id/a', OF_ID))
    assert result['ood/id/b/AP_K'] == result['ood/AP_K'] == 1
    for place in ('far/b', 'near/energy', 'far/energy'):
        assert result[f'ood/{place}/AP_U'] == 0.5
    assert all(nan_of(result, 'near/a', MATCHED))
    assert not any(nan_of(result, 'near/b', MATCHED))


def test_id_samples_without_their_objects(ann):
    bare = id_samples()
    for one in bare:
        del one['instances']
    assert evaluate(ann, [*bare, toy()])['ood/bbox_mAP'] == 1
    for name in EVERY:
        with pytest.raises(ValueError, match="no 'instances'.*meta_keys"):
            evaluate(ann, [*bare, toy()], **{name: True})


def test_what_is_printed_and_written(ann, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmengine.logging.MMLogger.info', lambda _, text: said.append(text)
    )
    out = tmp_path / 'out'
    result = evaluate(
        ann,
        [*id_samples(), toy()],
        score_threshold=0.5,
        out_dir=str(out),
        **EVERY,
    )
    (text,) = (text for text in said if '| OOD set' in text)
    rows = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('| ')
    ]
    assert rows[0][-3:] == list(MATCHED)
    assert rows[2:] == [
        ['OOD set', 'score', *OPEN],
        ['near', 'energy', '50.00', '50.00', '50.00', '50.00', '1', '33.33'],
        ['ID set', 'score', *OF_ID],
        ['id', 'energy', '100.00', '100.00', '100.00', '0.00'],
    ]
    ece = result['ood/calibration/ECE']
    assert f'Calibration of the ID boxes: ECE {ece:.4f}, marginal_CE' in text
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['near/energy/AOSE'] == 1
    assert metrics['calibration/NLL_wrong'] is None


def test_two_processes_measure_the_same(ann, tmp_path):
    samples = [*id_samples(), toy(), toy('far')]

    def build():
        metric = dict(type='mmood.OODDetMetric', ann_file=str(ann))
        metric = METRICS.build({**metric, 'score_threshold': 0.5, **EVERY})
        metric.dataset_meta = dict(classes=CLASSES)
        return metric

    expected = evaluate(ann, samples, score_threshold=0.5, **EVERY)
    for found in two_processes(build, samples, tmp_path):
        assert found == pytest.approx(expected, nan_ok=True)


def test_a_score_without_a_name_has_a_threshold_alone(ann):
    samples = [*id_samples(), toy()]
    for one in samples:
        del one['pred_instances']['ood_scores_energy']
    result = evaluate(ann, samples, score_threshold=0.5, **EVERY)
    assert (result['ood/ood_threshold'], result['ood/AP_K']) == (-4, 1)
    assert not [key for key in result if 'near/' in key or 'ood/id/' in key]


def test_unknown_boxes_rank_by_their_confidence(ann):
    """Not by the score, in which the box on the object is ahead."""
    near = sample('near', 1, [OFF, BOX], [0.9, 0.6], [1.0, 5.0], [(BOX, 0)])
    samples = [*id_samples(), near]
    result = evaluate(ann, samples, score_threshold=0.5, open_set=True)
    assert result['ood/near/energy/AP_U'] == 0.5


def test_corners_are_pixels_of_open_set_boxes_alone(ann):
    """Half of an object, which is 6 of 11 rows with the last pixels."""
    half, whole = [0.0, 0.0, 8.0, 5.0], [0.0, 0.0, 8.0, 10.0]
    near = [
        sample('near', 1, [half], [0.9], [5.0], [(whole, 0)]),
        sample('near', 2, [[0, 0, 8, 4.9]], [0.9], [-5.0], [(whole, 0)]),
    ]
    samples = [*id_samples(), *near]
    result = evaluate(ann, samples, score_threshold=0.5, **EVERY)
    assert result['ood/near/energy/R_U'] == 0.5
    assert result['ood/near/energy/AOSE'] == 1
    # Recall and matched boxes are continuous, and a half is enough.
    assert result['ood/near/energy/recall'] == 0.5
    assert result['ood/near/energy/matched_AUROC'] == 1
