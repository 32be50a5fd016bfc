"""Files for people and programs."""

import csv
import json

import cv2
import numpy as np
import pytest

from mmood.mining import read_shard
from mmood.ops import read_coco


def read_csv(folder):
    with open(folder / 'unknown.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_no_box_at_all(results):
    folder, _, rows, groups = results(looks=())
    assert len(rows) == len(groups.labels) == 0
    content = read_coco(folder / 'unknown.json')
    assert content['annotations'] == [] and len(content['images']) == 6
    assert read_csv(folder) == []
    assert not (folder / 'crops').exists()
    assert 'No unknown box' in (folder / 'index.html').read_text()


def test_the_json_says_what_was_found(results):
    folder, look, rows, groups = results()
    content = read_coco(folder / 'unknown.json')
    assert content['info']['score'] == 'energy'
    names = [c['name'] for c in content['categories']]
    assert names[:3] == ['unknown', 'background', 'known: circle']
    shards = [read_shard(folder / f'shards/{n:06d}.npz') for n in range(3)]
    boxes = np.concatenate([s.boxes for s in shards])
    scores = np.concatenate([s.ood_score for s in shards])
    assert len(content['annotations']) == 50
    for i, one in enumerate(content['annotations']):
        x, y, w, h = one['bbox']
        np.testing.assert_allclose([x, y, x + w, y + h], boxes[i], atol=0.02)
        assert one['id'] == i + 1 and one['category_id'] == 1
        assert one['area'] == pytest.approx(w * h, abs=0.01)
        assert one['image_id'] == rows['image'][i] + 1
        assert one['ood_score'] == pytest.approx(float(scores[i]))
        assert one['attributes']['group'] == groups.labels[i] == look[i]
    crop = cv2.imread(
        str(folder / content['annotations'][7]['attributes']['crop'])
    )
    assert abs(int(crop[5, 5, 0]) - (40 + 60 * look[7])) < 8


def test_the_table_has_a_row_for_each_box(results):
    folder, _, _, groups = results()
    table = read_csv(folder)
    content = json.loads((folder / 'unknown.json').read_text())
    assert [int(row['id']) for row in table] == list(range(1, 51))
    assert [int(r['group']) for r in table] == groups.labels.tolist()
    for row, one in zip(table, content['annotations']):
        box = [float(row[k]) for k in ('x', 'y', 'width', 'height')]
        assert box == one['bbox']
        assert (folder / row['crop']).is_file()


def test_only_the_highest_scores_are_kept(results):
    folder, _, rows, _ = results(top=9)
    shards = [read_shard(folder / f'shards/{n:06d}.npz') for n in range(3)]
    scores = np.sort(np.concatenate([s.ood_score for s in shards]))
    np.testing.assert_array_equal(np.sort(rows['ood_score']), scores[-9:])
    assert len(list((folder / 'crops').glob('*/*.jpg'))) == 9
    assert np.load(folder / 'features.npy').shape == (9, 8)


def test_results_are_written_anew(results):
    results()
    folder, *_ = results(top=3)
    assert len(list((folder / 'crops').glob('*/*.jpg'))) == 3
    assert len(read_csv(folder)) == 3
