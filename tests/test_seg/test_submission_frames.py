"""Files of frames, read as SegmentMeIfYouCan's kit reads them."""

import sys

import h5py
import numpy as np
import pytest

from mmood.seg.submission.frames import (
    as_half,
    frame_path,
    is_complete,
    write_frame,
)

SIZE = (7, 5)  # width, height


def read(folder, method, split, frame):
    """By the description: one variable `value` in the frame's file."""
    path = f'{folder}/anomaly_p/{method}/{split}/{frame}.hdf5'
    with h5py.File(path, 'r') as file:
        assert list(file) == ['value']
        return file['value'][:]


def score():
    return np.random.default_rng(0).normal(0, 3, (5, 7)).astype(np.float32)


def write(folder, values=None, frame='cow_1'):
    path = frame_path(folder, 'ours', 'AnomalyTrack-all', frame)
    write_frame(path, score() if values is None else values, frame)
    return path


def test_the_kit_finds_the_nearest_halves(tmp_path):
    write(tmp_path)
    found = read(tmp_path, 'ours', 'AnomalyTrack-all', 'cow_1')
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, score().astype(np.float16))
    np.testing.assert_allclose(found, score(), rtol=2**-11)
    assert [p.name for p in tmp_path.rglob('*') if p.is_file()] == [
        'cow_1.hdf5'
    ]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 65600, -1e9])
def test_what_a_half_cannot_hold_is_not_written(tmp_path, bad):
    values = score()
    values[2, 3] = bad
    with pytest.raises(ValueError, match='cow_1: 1 of 35 values .* 65504'):
        write(tmp_path, values)
    assert not list(tmp_path.rglob('*.*'))


def test_few_steps_are_a_warning(log):
    values = np.linspace(0, 1, 1000, dtype=np.float32)
    as_half(values, 'near 0')
    as_half(np.full(9, 7.0), 'constant')
    as_half(np.zeros((0, 3)), 'empty')
    assert not log['warning']
    # From 100 on a half has steps of 1 / 16.
    assert len(np.unique(as_half(100 + values, 'far off'))) == 17
    assert 'far off: float16 has about 16 steps' in log['warning'][0]


def test_only_whole_files_of_the_size_count(tmp_path):
    path = write(tmp_path)
    assert is_complete(path, SIZE)
    assert not is_complete(path, SIZE[::-1])
    assert not is_complete(path.with_name('none.hdf5'), SIZE)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert not is_complete(path, SIZE), length
    for name, values in (('value', score()), ('other', as_half(score(), ''))):
        with h5py.File(path, 'w') as file:
            file[name] = values
        assert not is_complete(path, SIZE), name


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write(tmp_path)
    before = path.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('os.replace', stop)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2 * score())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ImportError, match=r"h5py: pip install 'mmood\[subm"):
        write(tmp_path)
