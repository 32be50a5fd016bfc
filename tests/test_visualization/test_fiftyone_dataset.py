"""What FiftyOne is asked, of a stand-in with the shape of its calls.

The package itself (a database server) is not among the tests' requirements.
"""

import json
import sys
from types import SimpleNamespace

import pytest

from mmood.visualization.fiftyone_dataset import write_dataset

PREDICTIONS = [
    dict(
        image_id=7, category_id=4, category='dog', bbox=[10, 20, 30, 40],
        score=0.9, ood_score=-1.5, ood_scores=dict(energy=-1.5), is_ood=True,
    ),
    dict(
        image_id=7, category_id=9, bbox=[0, 0, 100, 200], score=0.5,
        ood_score=None, is_ood=False,
    ),
]  # fmt: skip


class Dataset:
    def __init__(self, name):
        self.name, self.persistent, self.samples = name, False, []

    def add_samples(self, samples):
        self.samples.extend(samples)


class Sample(dict):
    def __init__(self, filepath):
        super().__init__(filepath=filepath)


@pytest.fixture
def files(tmp_path):
    content = dict(
        images=[
            dict(id=7, file_name='a.jpg', width=100, height=200),
            dict(id=8, file_name='b.jpg', width=50, height=50),
        ],
        annotations=[
            dict(id=1, image_id=8, category_id=9, bbox=[5, 5, 10, 20])
        ],
        categories=[dict(id=9, name='zebra')],
    )
    annotations = tmp_path / 'far.json'
    annotations.write_text(json.dumps(content))
    results = tmp_path / 'far.bbox.json'
    results.write_text(json.dumps(PREDICTIONS))
    return str(results), str(annotations), str(tmp_path / 'images')


@pytest.fixture
def fiftyone(monkeypatch):
    there, deleted = set(), []
    module = SimpleNamespace(
        Dataset=Dataset,
        Sample=Sample,
        Detections=SimpleNamespace,
        Detection=SimpleNamespace,
        dataset_exists=there.__contains__,
        delete_dataset=deleted.append,
        there=there,
        deleted=deleted,
    )
    monkeypatch.setitem(sys.modules, 'fiftyone', module)
    return module


def test_samples_and_their_boxes(fiftyone, files, tmp_path):
    dataset = write_dataset('run', *files)
    assert (dataset.name, dataset.persistent) == ('run', True)
    first, second = dataset.samples
    assert first['filepath'] == str(tmp_path / 'images' / 'a.jpg')
    assert first['ground_truth'].detections == []
    dog, other = first['predictions'].detections
    assert vars(dog) == dict(
        label='dog',
        bounding_box=[0.1, 0.1, 0.3, 0.2],
        confidence=0.9,
        ood_score=-1.5,
        is_ood=True,
    )
    assert (other.label, other.ood_score) == ('zebra', None)
    (real,) = second['ground_truth'].detections
    assert vars(real) == dict(label='zebra', bounding_box=[0.1, 0.1, 0.2, 0.4])
    assert second['predictions'].detections == []


def test_names_that_are_taken(fiftyone, files):
    fiftyone.there.update({'run', 'other.partial'})
    with pytest.raises(ValueError, match="has a dataset 'run'"):
        write_dataset('run', *files)
    write_dataset('other', *files)
    assert fiftyone.deleted == ['other.partial']


def test_without_the_package(monkeypatch, files):
    monkeypatch.setitem(sys.modules, 'fiftyone', None)
    with pytest.raises(ImportError, match=r'mmood\[fiftyone\]'):
        write_dataset('run', *files)
