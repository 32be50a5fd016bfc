"""COCO result files with OOD scores, read again by the COCO API."""

import json

import pytest
import torch
from mmdet.datasets.api_wrappers import COCO
from mmengine.registry import DefaultScope

from mmood.registry import METRICS

CLASSES = ('dog', 'cat')  # the file has them the other way round


@pytest.fixture
def ann_file(tmp_path):
    content = dict(
        images=[dict(id=3, file_name='a.jpg', width=90, height=80)],
        annotations=[],
        categories=[dict(id=5, name='cat'), dict(id=6, name='dog')],
    )
    path = tmp_path / 'id.json'
    path.write_text(json.dumps(content))
    return str(path)


def sample(ann_file, origin='id', img_id=3, labels=(0, 1, 2), **fields):
    count = len(labels)
    pred = dict(
        bboxes=torch.tensor([[10.0, 20, 40, 80]]).expand(count, 4),
        labels=torch.tensor(labels),
        scores=torch.full((count,), 0.5),
        ood_scores=torch.arange(float(count)) - 1.5,
        ood_scores_energy=torch.arange(float(count)) - 1.5,
        ood_scores_msp=torch.full((count,), 0.25),
        is_ood=torch.arange(count) > 0,
    )
    pred.update(fields)
    return dict(
        img_id=img_id, origin=origin, ann_file=ann_file,
        classes=CLASSES, pred_instances=pred,
    )  # fmt: skip


def evaluate(out_dir, samples):
    with DefaultScope.overwrite_default_scope('mmdet'):
        config = dict(type='mmood.OODResultsFile', out_dir=str(out_dir))
        metric = METRICS.build(config)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_one_file_for_each_set(tmp_path, ann_file):
    samples = [
        sample(ann_file),
        sample(None, 'far', 'x1', labels=()),
        sample(None, 'near', 8, labels=(1,)),
    ]
    found = evaluate(tmp_path / 'out', samples)
    assert found == {'results/id': 3, 'results/far': 0, 'results/near': 1}
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['far.bbox.json', 'id.bbox.json', 'near.bbox.json']
    entries = json.loads((tmp_path / 'out' / 'id.bbox.json').read_text())
    assert entries[0] == dict(
        image_id=3, category_id=6, category='dog', bbox=[10, 20, 30, 60],
        score=0.5, ood_score=-1.5, ood_scores=dict(energy=-1.5, msp=0.25),
        is_ood=False,
    )  # fmt: skip
    assert [e['category'] for e in entries] == ['dog', 'cat', 'unknown']
    assert [e['category_id'] for e in entries] == [6, 5, 7]
    assert [e['is_ood'] for e in entries] == [False, True, True]
    (near,) = json.loads((tmp_path / 'out' / 'near.bbox.json').read_text())
    assert (near['image_id'], near['category']) == (8, 'cat')


def test_the_coco_api_reads_it(tmp_path, ann_file):
    evaluate(tmp_path, [sample(ann_file, labels=(0, 1))])
    coco = COCO(ann_file).loadRes(str(tmp_path / 'id.bbox.json'))
    found = coco.loadAnns(coco.getAnnIds(imgIds=[3], catIds=[6]))
    assert [one['ood_score'] for one in found] == [-1.5]
    assert found[0]['area'] == 30 * 60


def test_scores_that_are_no_number_are_null(tmp_path, ann_file):
    scores = torch.tensor([float('inf'), float('nan')])
    evaluate(tmp_path, [sample(ann_file, labels=(0, 1), ood_scores=scores)])
    entries = json.loads((tmp_path / 'id.bbox.json').read_text())
    assert [e['ood_score'] for e in entries] == [None, None]


def test_what_is_missing_is_named(tmp_path, ann_file):
    with pytest.raises(ValueError, match='category ids from the ID set'):
        evaluate(tmp_path, [sample(None, 'far')])
    plain = sample(ann_file)
    del plain['pred_instances']['ood_scores']
    with pytest.raises(ValueError, match='the predictions have no ood_scores'):
        evaluate(tmp_path, [plain])
