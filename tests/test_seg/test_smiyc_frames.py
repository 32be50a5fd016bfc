"""Frames of SegmentMeIfYouCan by the splits of its kit, without labels."""

import cv2
import numpy as np
import pytest
from mmseg.datasets.transforms import PackSegInputs

from mmood.registry import DATASETS

ANOMALY = ['airplane0000', 'cow0001', 'validation0000', 'validation0009']
OBSTACLE = [
    *('curvy-street_1', 'darkasphalt_bag_3', 'darkasphalt2_dog_1'),
    *('snowstorm1_00_16_02.578', 'driveway_3', 'validation_2'),
    *('validation_19', 'validation_29', 'motorway', 'gravelpit_1'),
]
HARD = ['snowstorm1_00_16_02.578', 'driveway_3']


def write(folder, names, suffix):
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        picture = np.full((8, 10, 3), 20 + i, np.uint8)
        cv2.imwrite(str(folder / 'images' / (name + suffix)), picture)


def build(folder, split, **options):
    kind = DATASETS.get('mmood.SMIYCFramesDataset')
    loader = dict(type='LoadImageFromFile')
    pipeline = [loader, PackSegInputs()]
    return kind(data_root=str(folder), split=split, pipeline=pipeline,
                serialize_data=False, **options)  # fmt: skip


def names(dataset):
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    return {path.split('/')[-1].rsplit('.', 1)[0] for path in paths}


@pytest.mark.parametrize(
    ('split', 'expected'),
    [
        ('AnomalyTrack-all', set(ANOMALY)),
        ('AnomalyTrack-test', set(ANOMALY[:2])),
        ('AnomalyTrack-validation', set(ANOMALY[2:])),
        ('ObstacleTrack-all', set(OBSTACLE) - {'gravelpit_1'}),
        (
            'ObstacleTrack-test',
            {*OBSTACLE[:3], 'motorway'},
        ),
        ('ObstacleTrack-validation', {'validation_2'}),
    ],
)
def test_the_frames_of_a_split(tmp_path, split, expected):
    is_anomaly = split.startswith('Anomaly')
    frames, suffix = (ANOMALY, '.jpg') if is_anomaly else (OBSTACLE, '.webp')
    write(tmp_path, frames, suffix)
    write(tmp_path / 'images' / 'more', frames[:1], suffix)
    dataset = build(tmp_path, split)
    assert names(dataset) == expected
    sample = dataset[0]['data_samples']
    assert sample.origin == split.split('-')[0] + '-all'
    assert 'gt_sem_seg' not in sample
    assert dataset[0]['inputs'].shape == (3, 8, 10)


def test_frames_that_are_done_are_left_out(tmp_path):
    write(tmp_path, ANOMALY, '.jpg')
    dataset = build(tmp_path, 'AnomalyTrack-all', skipped=ANOMALY[1:])
    assert names(dataset) == {'airplane0000'}


def test_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="split must be .*'Anom.*got 'Road'"):
        build(tmp_path, 'Road')
    with pytest.raises(FileNotFoundError, match="folder .*/images'"):
        build(tmp_path, 'AnomalyTrack-all')
    write(tmp_path, ['a'], '.png')
    with pytest.raises(ValueError, match=r"no image '\*.jpg'"):
        build(tmp_path, 'AnomalyTrack-all')
