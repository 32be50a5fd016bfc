"""Sets to train on: their layout, their ids, their classes."""

import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs

from helpers import SHARED
from mmood.generation import FAR, ID, NEAR
from mmood.seg.datasets import (
    CamVidDataset,
    LoadOODAnnotations,
    OODSegDataset,
    ShapesSegDataset,
    WHDLDDataset,
)
from seg_helpers import write_pair


def load_id(cls, root, **options):
    options.setdefault('serialize_data', False)
    pipeline = [LoadAnnotations(), PackSegInputs()]
    return cls(data_root=str(root), pipeline=pipeline, **options)


def test_camvid_void_is_ignored(tmp_path):
    write_pair(tmp_path, 'images/a.jpg', 'labels/a.png', range(12))
    folder = dict(img_path='images', seg_map_path='labels')
    sample = load_id(CamVidDataset, tmp_path, data_prefix=folder)[0]
    labels = sample['data_samples'].gt_sem_seg.data[0, 0].tolist()
    assert labels == [*range(11), 255]
    assert sample['data_samples'].origin == 'id'


def test_camvid_with_some_of_its_classes(tmp_path):
    write_pair(tmp_path, 'images/a.jpg', 'labels/a.png', range(12))
    dataset = load_id(
        CamVidDataset,
        tmp_path,
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=('Road', 'Sky')),
    )
    labels = dataset[0]['data_samples'].gt_sem_seg.data[0, 0].tolist()
    assert labels == [1, 255, 255, 0, *[255] * 8]
    assert dataset.metainfo['palette'] == [[128, 64, 128], [128, 128, 128]]


def test_whdld_counts_from_one(tmp_path):
    write_pair(tmp_path, 'a.jpg', 'a.png', range(7))
    sample = load_id(WHDLDDataset, tmp_path)[0]
    labels = sample['data_samples'].gt_sem_seg.data[0, 0].tolist()
    assert labels == [255, *range(6)]


def test_id_set_without_labels(tmp_path):
    write_pair(tmp_path, 'a.jpg', 'a.png', [1])
    (tmp_path / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match="'id': 1 of 1 label files"):
        load_id(WHDLDDataset, tmp_path)


def test_shapes(shapes):
    assert ShapesSegDataset.METAINFO['classes'] == ('background', *ID)
    dataset = load_id(ShapesSegDataset, shapes / 'train')
    labels = [dataset[i]['data_samples'].gt_sem_seg.data for i in range(10)]
    assert max(x.max() for x in labels) <= len(ID)
    assert {int(x.min()) for x in labels} == {0}
    first = 1 + len(ID)
    for name, ids in (
        ('near', range(first, first + len(NEAR))),
        ('far', range(first + len(NEAR), first + len(NEAR) + len(FAR))),
    ):
        ood = OODSegDataset(
            name=name,
            data_root=str(shapes / name),
            ood_ids=ids,
            img_suffix='.png',
            data_prefix=dict(img_path='images', seg_map_path='semantic'),
            pipeline=[LoadOODAnnotations()],
        )
        assert len(ood) > 0
        assert set(np.unique(ood[0]['gt_seg_map'])) == {0, 1}


@pytest.mark.parametrize(
    ('part', 'count'), [('train', 367), ('val', 101), ('test', 233)]
)
def test_real_camvid(part, count):
    root = SHARED / 'camvid'
    if not root.is_dir():
        pytest.skip(f'{root} is not there')
    folder = dict(img_path=f'images/{part}', seg_map_path=f'labels/{part}')
    dataset = load_id(CamVidDataset, root, data_prefix=folder)
    assert len(dataset) == count
    labels = [dataset[i]['data_samples'].gt_sem_seg.data for i in range(5)]
    assert {v for x in labels for v in np.unique(x)} <= {*range(11), 255}
    assert any((x == 255).any() for x in labels)
