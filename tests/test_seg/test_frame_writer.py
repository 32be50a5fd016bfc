"""The metric that writes a benchmark's frames."""

import h5py
import numpy as np
import pytest

from mmood.registry import METRICS
from seg_helpers import pixel_sample


def build(folder, **options):
    options = dict(dict(method='ours', score='energy'), **options)
    cfg = dict(type='mmood.SMIYCFrameWriter', folder=str(folder), **options)
    return METRICS.build(cfg)


def sample(name, split='AnomalyTrack-all', seed=0):
    values = np.random.default_rng(seed).normal(size=(3, 4))
    values = values.astype(np.float32)
    one = pixel_sample(np.zeros((3, 4), int), split, name, energy=values)
    del one['gt_sem_seg']
    return one, values


def test_maps_of_two_tracks(tmp_path):
    metric = build(tmp_path)
    splits = ('AnomalyTrack-all', 'ObstacleTrack-all')
    expected = {}
    for seed, split in enumerate(splits):
        one, values = sample(f'images/cow_1.5.{seed}.jpg', split, seed)
        metric.process({}, [one])
        expected[f'anomaly_p/ours/{split}/cow_1.5.{seed}.hdf5'] = values
    assert metric.evaluate(2) == {'submission/frames': 2}
    found = [p for p in tmp_path.rglob('*') if p.is_file()]
    assert {str(p.relative_to(tmp_path)) for p in found} == set(expected)
    for path, values in expected.items():
        with h5py.File(tmp_path / path) as file:
            np.testing.assert_array_equal(
                file['value'], values.astype(np.float16)
            )


def test_what_cannot_be_written(tmp_path):
    one, _ = sample('images/a.jpg')
    with pytest.raises(ValueError, match=r"a.jpg: the score 'msp' is not"):
        build(tmp_path, score='msp').process({}, [one])
    one['pred_ood']['energy'].fill_(float('nan'))
    with pytest.raises(ValueError, match='a.jpg: the energy map: 12 of 12'):
        build(tmp_path).process({}, [one])
    with pytest.raises(ValueError, match="got 'a/b'"):
        build(tmp_path, method='a/b')
    assert not list(tmp_path.iterdir())
