"""The boxes that a test leaves, against the measures of the same boxes."""

import json

import numpy as np
import pytest

from mmood.det.evaluation.details import box_arrays, name_of
from mmood.metrics import object_recall
from report_helpers import box_records, write_box_test


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f'{i}.png') for i in range(4)]
    records = [
        one
        for origin in ('id', 'far')
        for one in box_records(rng, origin, paths, 5, 1.0)
    ]
    records[5]['is_crowd'][0] = True
    sets = write_box_test(tmp_path / 'ood', records)
    with np.load(tmp_path / 'ood/boxes.npz') as file:
        return tmp_path / 'ood', sets, dict(file)


def test_nothing_at_all():
    empty = box_arrays([])
    assert {key: len(value) for key, value in empty.items()} == dict.fromkeys(
        empty, 0
    )
    assert empty['boxes'].shape == (0, 4) and empty['hits'].shape == (0, 2)


def test_rows_are_those_of_the_scores(written):
    folder, sets, arrays = written
    scores = np.load(folder / 'ood_scores_energy.npz')
    for name in ('id', 'far'):
        images = sets[name]['images']
        assert len(arrays[f'{name}/boxes']) == len(scores[name]) == 20
        for number, image in enumerate(images):
            own = arrays[f'{name}/image'] == number
            for key, value in (
                ('boxes', 'boxes'),
                ('label', 'labels'),
                ('confidence', 'own'),
            ):
                found = arrays[f'{name}/{key}'][own]
                np.testing.assert_array_equal(found, image[value])


def test_hits_are_the_objects_that_boxes_find(written):
    _, sets, arrays = written
    hits = arrays['far/hits']
    number = len(arrays['far/objects'])
    assert number == 4 * 4 - 1  # the crowd is none
    found = len(set(hits[:, 1])) / number
    recall = object_recall(sets['far']['boxes'], sets['far']['objects'])
    assert found == pytest.approx(recall)
    places = arrays['far/image'][hits[:, 0]]
    assert (places == arrays['far/object_image'][hits[:, 1]]).all()


def test_settings_and_images_by_name(written):
    folder, _, _ = written
    content = json.loads((folder / 'details.json').read_text())
    assert content['task'] == 'detection' and content['tpr'] == 0.95
    assert content['scores'] == ['energy', 'msp']
    assert list(content['sets']) == ['id', 'far']
    images = content['sets']['far']['images']
    assert images == [str(folder.parent / f'{i}.png') for i in range(4)]


def test_the_name_of_values_that_stand_twice():
    values = np.array([1.0, np.nan])
    kept = dict(scores=dict(a=values + 1, b=values.copy()))
    assert name_of(values, kept) == 'b'
    assert name_of(values[:1], kept) == ''
