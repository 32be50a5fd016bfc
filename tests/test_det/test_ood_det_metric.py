import json

import numpy as np
import pytest
import torch

from helpers import write_coco
from mmood.metrics import EmptySetWarning, fpr_at_tpr
from mmood.ops import write_arrays
from mmood.registry import METRICS
from ood_det_helpers import CLASSES, evaluate, sample


@pytest.fixture
def ann(tmp_path):
    boxes = [[[4, 4, 20, 20]], [[10, 10, 30, 30]], []]
    return write_coco(tmp_path, boxes, CLASSES)


BOX = [4.0, 4.0, 24.0, 24.0]
BIG = [10.0, 10.0, 40.0, 40.0]


def id_samples():
    return [
        sample('id', 1, [BOX], [0.9], [-5.0]),
        sample('id', 2, [BIG, BOX], [0.8, 0.3], [-4.0, 0.0]),
        sample('id', 3, [], [], []),
    ]


def test_one_pass_one_table(ann):
    near = [
        sample('near', 1, [BIG], [0.7], [-4.5], [(BIG, 0), (BOX, 0)]),
        sample('near', 2, [BIG, BOX], [0.9, 0.4], [-1.0, 3.0], [(BOX, 0)]),
    ]
    far = [sample('far', 1, [BOX], [0.6], [2.0], [(BOX, 0), (BIG, 1)])]
    result = evaluate(ann, id_samples() + near + far, score_threshold=0.5)
    assert result['ood/bbox_mAP'] == 1.0
    # Kept: ID -5, -4; near -4.5, -1; far 2. A threshold of 0.5 drops the rest.
    assert result['ood/near/energy/AUROC'] == 3 / 4
    assert result['ood/far/energy/AUROC'] == 1.0
    expected = fpr_at_tpr([5, 4, 4.5, 1], [1, 1, 0, 0], protocol='vos')
    assert result['ood/near/energy/FPR95'] == expected == 0.5
    assert result['ood/ood_threshold'] == -4.0
    # Of three near objects one is hit by a kept box, which is not flagged.
    assert result['ood/near/energy/recall'] == pytest.approx(1 / 3)
    assert result['ood/near/energy/flagged'] == 0
    # The ignored object of the far set does not count.
    assert result['ood/far/energy/recall'] == 1
    assert result['ood/far/energy/flagged'] == 1


def test_optimal_f1_threshold_comes_from_the_id_images(ann):
    """Both objects are found at 0.9 and 0.8, and a false box at 0.3."""
    far = [sample('far', 1, [BOX, BIG], [0.99, 0.84], [2.0, 1.0])]
    result = evaluate(ann, id_samples() + far)
    # Full recall and precision end at the box of confidence 0.8.
    assert result['ood/score_threshold'] == pytest.approx(0.8, abs=1e-4)
    assert result['ood/far/energy/AUROC'] == 1.0


def two_of_a_roi(origin, img_id, confidence, largest, scores):
    """Boxes whose own confidence is not the largest of their RoI."""
    boxes = [BOX, BIG][: len(scores)]
    one = sample(origin, img_id, boxes, confidence, scores)
    one['pred_instances']['max_class_scores'] = torch.tensor(largest)
    return one


def test_dreambox_keeps_boxes_by_their_own_confidence(ann, tmp_path):
    samples = [
        two_of_a_roi('id', 1, [0.9, 0.2], [0.9, 0.9], [-5.0, -5.0]),
        two_of_a_roi('id', 2, [0.8, 0.5], [0.8, 0.5], [-4.0, 9.0]),
        two_of_a_roi('near', 1, [0.7, 0.5], [0.7, 0.5], [-4.5, 3.0]),
        two_of_a_roi('near', 2, [0.6, 0.3], [0.6, 0.6], [-4.0, -4.0]),
        two_of_a_roi('near', 3, [0.75], [0.75], [-1.0]),
    ]
    kept = dict(
        # A box at 0.5 is out, and so is a RoI's second class below it.
        dreambox=dict(id=[-5, -4], near=[-4.5, -4, -1]),
        vos=dict(id=[-5, -5, -4, 9], near=[-4.5, 3, -4, -4, -1]),
    )
    for protocol, expected in kept.items():
        out = tmp_path / protocol
        options = dict(score_threshold=0.5, out_dir=str(out))
        result = evaluate(ann, samples, protocol=protocol, **options)
        with np.load(out / 'ood_scores_energy.npz') as scores:
            assert {k: scores[k].tolist() for k in scores} == expected
        if protocol == 'dreambox':
            # Of 3 x 2 pairs only near's -4.5 lies below ID's -4, and one
            # pair is equal.
            auroc = (4 + 0.5) / 6
            assert result['ood/near/energy/AUROC'] == pytest.approx(auroc)
            # Entry int(0.95 * 2) of 5, 4 is 4: of 4.5, 4 and 1 one is above.
            expected = pytest.approx(1 / 3)
            assert result['ood/near/energy/FPR95'] == expected
            assert result['ood/ood_threshold'] == -4


def test_dreambox_finds_objects_with_the_boxes_it_keeps(ann):
    far = two_of_a_roi('far', 1, [0.5, 0.6], [0.9, 0.9], [2.0, 2.0])
    far['instances'] = [
        dict(bbox=box, bbox_label=0, ignore_flag=0) for box in (BOX, BIG)
    ]
    for protocol, recall in (('dreambox', 0.5), ('vos', 1.0)):
        result = evaluate(
            ann, [*id_samples(), far], protocol=protocol, score_threshold=0.5
        )
        assert result['ood/far/energy/recall'] == recall
        assert result['ood/far/energy/flagged'] == recall


def test_zero_detections_in_the_whole_test(ann):
    empty = [sample('id', i, [], [], []) for i in (1, 2, 3)]
    empty.append(sample('far', 1, [], [], [], [(BOX, 0)]))
    with pytest.warns(EmptySetWarning, match='no kept box on the ID'):
        result = evaluate(ann, empty)
    assert result['ood/bbox_mAP'] == 0
    assert np.isnan(result['ood/far/energy/FPR95'])
    assert np.isnan(result['ood/ood_threshold'])
    assert result['ood/far/energy/recall'] == 0


def test_an_ood_set_without_detections_is_nan_and_says_why(ann):
    far = [sample('far', 1, [], [], [])]
    with pytest.warns(EmptySetWarning, match='no kept box on the OOD'):
        result = evaluate(ann, id_samples() + far)
    assert np.isnan(result['ood/far/energy/AUROC'])
    assert np.isnan(result['ood/far/energy/recall'])
    assert result['ood/bbox_mAP'] == 1.0


def test_without_an_id_image(ann):
    with pytest.raises(ValueError, match='no ID image'):
        evaluate(ann, [sample('far', 1, [BOX], [0.9], [1.0])])


def test_predictions_without_ood_scores(ann):
    one = id_samples()[0]
    del one['pred_instances']['ood_scores']
    with pytest.raises(ValueError, match='mmood.OODRoIHead'):
        evaluate(ann, [one])


def test_dump_holds_the_scores_of_all_kept_boxes(ann, tmp_path):
    far = [sample('far', 1, [BOX, BIG], [0.6, 0.2], [2.0, 7.0])]
    out = tmp_path / 'out'
    evaluate(ann, id_samples() + far, score_threshold=0.5, out_dir=str(out))
    scores = np.load(out / 'ood_scores_energy.npz')
    np.testing.assert_array_equal(scores['id'], [-5, -4])
    np.testing.assert_array_equal(scores['far'], [2])
    names = sorted(path.name for path in out.iterdir())
    scores = ['ood_scores_energy.npz', 'ood_scores_energy.png']
    more = ['boxes.npz', 'details.json', 'metrics.json']
    assert names == [*more, *scores]
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['far/energy/AUROC'] == 1


def test_threshold_is_that_of_the_first_score_whatever_its_name(ann):
    samples = id_samples()
    for one in samples:
        pred = one['pred_instances']
        pred['ood_scores_a'] = pred['ood_scores_energy'] * 2
        pred['ood_scores_z'] = pred['ood_scores_energy'] * 3
    result = evaluate(ann, samples, score_threshold=0.5)
    assert result['ood/ood_threshold'] == -4.0


def test_map_equals_mmdets(ann):
    metric = METRICS.build(dict(type='mmdet.CocoMetric', ann_file=str(ann)))
    metric.dataset_meta = dict(classes=CLASSES)
    samples = id_samples()
    samples[0]['pred_instances']['bboxes'] += 3
    for one in samples:
        metric.process({}, [one])
    stock = metric.evaluate(3)
    ours = evaluate(ann, samples)
    assert 0 < stock['coco/bbox_mAP'] < 1
    for name, value in stock.items():
        if value == -1:  # no object of this size
            value = pytest.approx(float('nan'), nan_ok=True)
        assert ours[name.replace('coco/', 'ood/')] == value


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(protocol='coco'),
        dict(score_threshold='best'),
        dict(score_threshold=float('nan')),
        dict(score_threshold=50),
        dict(score_threshold=True),
        dict(metric='proposal'),
        dict(metric_items=['mAP_50']),
        dict(format_only=True, outfile_prefix='found'),
    ],
)
def test_bad_arguments(ann, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        evaluate(ann, [], **kwargs)


def far(img_id=1, **more):
    return {**sample('far', img_id, [BOX], [0.6], [2.0], [(BOX, 0)]), **more}


def evaluate_classes(classes, ann, samples, **kwargs):
    path = None if ann is None else str(ann)
    kwargs = dict(type='mmood.OODDetMetric', ann_file=path, **kwargs)
    metric = METRICS.build(kwargs)
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize(
    ('samples', 'message'),
    [
        ([far(), far()], "image 1 is there twice in the set 'far'"),
        (
            [far(ann_file='a.json'), far(2, ann_file='b.json')],
            "'far' of b.json and the set 'far' of a.json",
        ),
        ([far(), far(2, origin='Far')], "'Far' of None and the set 'far'"),
        ([far(origin='a/b')], "word .* got 'a/b'"),
        ([id_samples()[0]], "image 1 is there twice in the set 'id'"),
        ([far(7, origin='id')], 'id 7, are not in .*ann.json'),
    ],
)
def test_populations_are_not_mixed(ann, samples, message):
    with pytest.raises(ValueError, match=message):
        evaluate(ann, [*id_samples(), *samples])


def test_a_sample_of_an_unknown_set(ann):
    one = far()
    del one['origin']
    with pytest.raises(ValueError, match='image 1 does not say .*ID or OOD'):
        evaluate(ann, [*id_samples(), one])


def test_classes_of_another_set_than_the_id_set(ann):
    for classes in (('zebra', 'lion'), ('dog', 'lion')):
        with pytest.raises(ValueError, match='put the ID set first'):
            evaluate_classes(classes, ann, [*id_samples(), far()])
    # The names alone do not tell where both sets have them.
    own = [{**one, 'classes': CLASSES} for one in id_samples()]
    with pytest.raises(ValueError, match="'cat'.*put the ID set first"):
        evaluate_classes(('dog', 'cat'), ann, [*own, far()])


def test_label_i_is_the_ith_of_the_classes(ann):
    samples = [
        sample('id', 1, [BOX], [0.9], [-5.0], labels=[1]),
        sample('id', 2, [BIG], [0.8], [-4.0], labels=[1]),
    ]
    result = evaluate_classes(('dog', 'cat'), ann, samples)
    assert result['ood/bbox_mAP'] == 1.0
    assert evaluate(ann, samples)['ood/bbox_mAP'] == 0.0
    assert result['ood/score_threshold'] == pytest.approx(0.8, abs=1e-4)


def test_the_annotations_are_those_of_the_set(ann, tmp_path):
    samples = [{**one, 'ann_file': str(ann)} for one in id_samples()]
    expected = evaluate(ann, id_samples())
    for path in (None, ann, ann.parent / '..' / ann.parent.name / 'ann.json'):
        found = evaluate_classes(CLASSES, path, samples)
        assert found == pytest.approx(expected, nan_ok=True)
    other = write_coco(tmp_path / 'other', [[[4, 4, 20, 20]]], CLASSES)
    with pytest.raises(ValueError, match='other.*leave out the ann_file'):
        evaluate(other, samples)
    # Of a part of the file the rest does not count as missed.
    found = evaluate_classes(CLASSES, None, samples[:1])
    assert found['ood/bbox_mAP'] == 1.0
    # Another process may have seen all ID images.
    kwargs = dict(type='mmood.OODDetMetric')
    first, second = METRICS.build(kwargs), METRICS.build(kwargs)
    first.dataset_meta = second.dataset_meta = dict(classes=CLASSES)
    first.process({}, [far()])
    second.process({}, samples)
    first.results += second.results
    assert first.evaluate(4)['ood/bbox_mAP'] == expected['ood/bbox_mAP']
    two = [samples[0], {**samples[1], 'ann_file': str(other)}]
    with pytest.raises(ValueError, match='can be one'):
        evaluate_classes(CLASSES, None, two)


def test_id_annotations_without_objects(tmp_path):
    ann = write_coco(tmp_path, [[], [], []], CLASSES)
    with pytest.warns(EmptySetWarning, match='have no object of .*cat.*nan'):
        result = evaluate(ann, [*id_samples(), far()])
    assert np.isnan(result['ood/bbox_mAP'])
    assert result['ood/score_threshold'] == 0
    assert result['ood/far/energy/AUROC'] == 1


def test_arrays_of_any_name_are_written(tmp_path):
    """`numpy.savez` takes two of these for arguments of its own."""
    arrays = {name: np.arange(3.0) for name in ('file', 'allow_pickle', 'é x')}
    write_arrays(str(tmp_path / 'a.npz'), arrays)
    with np.load(tmp_path / 'a.npz') as found:
        assert {k: found[k].tolist() for k in found} == {
            name: [0, 1, 2] for name in arrays
        }


def test_a_nan_score_is_a_nan_row_with_the_reason(ann, tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr(
        'mmengine.logging.MMLogger.warning', lambda _, note: notes.append(note)
    )
    samples = [*id_samples(), far(), far(1, origin='near')]
    for one in samples:
        pred = one['pred_instances']
        for name in 'ab':
            pred[f'ood_scores_{name}'] = pred['ood_scores'].clone()
    samples[0]['pred_instances']['ood_scores_a'][:] = float('nan')
    for key in ('ood_scores', 'ood_scores_b'):
        samples[3]['pred_instances'][key][:] = float('nan')
    result = evaluate(ann, samples, score_threshold=0.5, out_dir=str(tmp_path))
    for place in ('far/a', 'near/a', 'far/b'):
        row = [result[f'ood/{place}/{key}'] for key in ('AUROC', 'flagged')]
        assert np.isnan(row).all()
        assert result[f'ood/{place}/recall'] == 1
    for place in ('near/b', 'far/energy', 'near/energy'):
        assert result[f'ood/{place}/AUROC'] == 1
        assert result[f'ood/{place}/flagged'] == 1
    start = 'the score {} is nan for {} boxes of the set {}'
    assert [note.split(': its')[0] for note in notes] == [
        start.format('a', '1 of 2', "'id'"),
        start.format('b', '1 of 1', "'far'"),
    ]


def test_half_precision_and_predictions_that_are_no_numbers(ann):
    samples = id_samples()
    for one in samples:
        pred = one['pred_instances']
        for key, value in pred.items():
            pred[key] = value if key == 'labels' else value.to(torch.bfloat16)
    result = evaluate(ann, [*samples, far()])
    assert result['ood/bbox_mAP'] == 1.0
    for key in ('bboxes', 'scores'):
        bad = far()
        bad['pred_instances'][key][:] = float('nan')
        message = f"image 1 of the set 'far' has nan or infinite {key}"
        with pytest.raises(ValueError, match=message):
            evaluate(ann, [*id_samples(), bad])


def test_an_inverted_score_is_named_under_the_table(ann, monkeypatch):
    """Unknown boxes score lower than known ones on near, not on far."""
    said = []
    monkeypatch.setattr(
        'mmengine.logging.MMLogger.info', lambda _, text: said.append(text)
    )
    near = [sample('near', 1, [BIG], [0.7], [-9.0])]
    far = [sample('far', 1, [BIG], [0.7], [9.0])]
    evaluate(ann, id_samples() + near + far, score_threshold=0.5)
    (table,) = (text for text in said if '| OOD set' in text)
    assert table.splitlines()[-1].startswith(
        'near: AUROC below 50 of energy (0.0): unknown boxes score lower'
    )
    assert 'far: AUROC' not in table


def test_a_label_that_is_no_class_of_the_set(ann):
    """As of a head with a class for the unknown."""
    box = sample('id', 1, [BOX], [0.9], [-5.0], labels=[2])
    with pytest.raises(ValueError, match='1 has a box of label 2, .* 2 cla'):
        evaluate(ann, [box])
