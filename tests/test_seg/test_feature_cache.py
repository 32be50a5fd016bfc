"""FeatureCache: what is written is read, or an error says why not."""

import json
import shutil

import numpy as np
import pytest

from mmood.seg.datasets import CorruptShardError, FeatureCache
from mmood.seg.datasets.feature_cache import (
    is_complete,
    open_folder,
    write_shard,
)

SIZES = [(2, 3), (4, 1), (1, 1), (3, 3), (2, 2)]


def images(sizes=SIZES, channels=3, dtype='float32'):
    """Maps (C, h, w) and labels (h, w) of some images, 255 among them."""
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(channels, *s)).astype(dtype) for s in sizes]
    labels = [rng.choice([0, 7, 254, 255], s) for s in sizes]
    return maps, labels


def write(folder, maps, labels, per_shard=2):
    count = -(-len(maps) // per_shard)
    open_folder(folder, dict(num_shards=count, images=len(maps)))
    for number in range(count):
        part = slice(number * per_shard, (number + 1) * per_shard)
        write_shard(folder, number, maps[part], labels[part])
    return folder


def rows_of(maps):
    """The vectors of all images in their order, (N, C)."""
    return np.concatenate([m.reshape(len(m), -1).T for m in maps])


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
@pytest.mark.parametrize('per_shard', [1, 2, 5])
def test_what_is_written_is_read(tmp_path, per_shard, dtype):
    maps, labels = images(dtype=dtype)
    folder = write(tmp_path / 'new/cache', maps, labels, per_shard)
    cache = FeatureCache(folder, verify=True)
    assert len(cache) == 5
    for i, (features, label) in enumerate(zip(maps, labels)):
        found, found_label = cache.map(i)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, features)
        np.testing.assert_array_equal(found_label, label)
    flat = np.concatenate([label.ravel() for label in labels])
    np.testing.assert_array_equal(cache.labels, flat)
    assert cache.about['images'] == 5


@pytest.mark.parametrize('per_shard', [1, 2, 5])
def test_rows_over_several_shards(tmp_path, per_shard):
    maps, labels = images()
    cache = FeatureCache(write(tmp_path, maps, labels, per_shard))
    vectors = rows_of(maps)
    for rows in (range(24), [0], [23], [5, 6], [0, 9, 10, 11, 23], [3, 3, 20]):
        rows = np.array(rows)
        np.testing.assert_array_equal(cache.vectors(rows), vectors[rows])


def test_no_part_of_a_file_is_left(tmp_path):
    write(tmp_path, *images())
    names = {path.name for path in tmp_path.iterdir()}
    shards = [f'shard_{n:05d}' for n in range(3)]
    ends = ('.json', '.npy', '.labels.npy')
    assert names == {'cache.json', *(s + e for s in shards for e in ends)}


def test_killed_extraction_goes_on_without_duplicates(tmp_path):
    """Killed in shard 1: its features are there, its labels in part."""
    maps, labels = images()
    whole = write(tmp_path / 'whole', maps, labels)
    folder = tmp_path / 'killed'
    about = dict(num_shards=3, images=5)
    open_folder(folder, about)
    write_shard(folder, 0, maps[:2], labels[:2])
    (folder / 'shard_00001.npy').write_bytes(b'whatever')
    assert [is_complete(folder, n) for n in range(3)] == [True, False, False]
    with pytest.raises(FileNotFoundError, match='lacks 2 of 3 shards: run '):
        FeatureCache(folder)

    open_folder(folder, about)  # the same extraction again
    for number in (1, 2):
        part = slice(2 * number, 2 * number + 2)
        write_shard(folder, number, maps[part], labels[part])
    found, expected = FeatureCache(folder, verify=True), FeatureCache(whole)
    assert len(found) == len(expected) == 5
    rows = np.arange(24)
    np.testing.assert_array_equal(found.vectors(rows), expected.vectors(rows))
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_failed_write_does_not_count(tmp_path, monkeypatch):
    maps, labels = images()
    open_folder(tmp_path, dict(num_shards=1))
    save = np.save

    def full_disk(file, values):
        if values.ndim == 1:  # the labels
            raise OSError('disk full')
        save(file, values)

    monkeypatch.setattr(np, 'save', full_disk)
    with pytest.raises(OSError, match='disk full'):
        write_shard(tmp_path, 0, maps, labels)
    assert not is_complete(tmp_path, 0)


def test_another_extraction_in_the_same_folder(tmp_path):
    about = dict(num_shards=3, dtype='float16', weights=1)
    open_folder(tmp_path, about)
    open_folder(tmp_path, about)
    message = r"another extraction \(dtype is 'float16', now 'float32'\)"
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path, dict(about, dtype='float32'))
    with pytest.raises(ValueError, match=r'\(passes is None, now 2\)'):
        open_folder(tmp_path, dict(about, passes=2))
    assert json.loads((tmp_path / 'cache.json').read_text()) == about


def test_not_a_cache(tmp_path):
    message = 'has no cache.json: make it with tools/extract_features.py'
    for folder in (tmp_path, tmp_path / 'nowhere'):
        with pytest.raises(FileNotFoundError, match=message):
            FeatureCache(folder)


def test_labels_that_do_not_fit(tmp_path):
    maps, labels = images()
    with pytest.raises(ValueError, match='20 pixels for 24 features'):
        write_shard(tmp_path, 0, maps, labels[:4])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('suffix', ['.npy', '.labels.npy'])
@pytest.mark.parametrize('kept', [0, 5, 60, 130, -1])
def test_truncated_file(tmp_path, suffix, kept):
    folder = write(tmp_path, *images())
    path = folder / f'shard_00001{suffix}'
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptShardError) as error:
        FeatureCache(folder)
    message = str(error.value)
    assert f'shard_00001{suffix} is damaged' in message
    assert 'delete shard_00001.json and run tools/extract_feat' in message


def test_missing_file_of_a_shard(tmp_path):
    folder = write(tmp_path, *images())
    (folder / 'shard_00002.npy').unlink()
    with pytest.raises(CorruptShardError, match='shard_00002.npy is damaged'):
        FeatureCache(folder)


@pytest.mark.parametrize('suffix', ['.npy', '.labels.npy'])
def test_flipped_byte(tmp_path, suffix):
    folder = write(tmp_path, *images())
    path = folder / f'shard_00000{suffix}'
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(FeatureCache(folder)) == 5  # sizes alone do not show it
    with pytest.raises(CorruptShardError, match=f'00000{suffix}.*checksum'):
        FeatureCache(folder, verify=True)


@pytest.mark.parametrize('suffix', ['.npy', '.labels.npy'])
def test_rows_of_another_shard(tmp_path, suffix):
    folder = write(tmp_path, *images())
    shutil.copy(
        folder / f'shard_00002{suffix}', folder / f'shard_00000{suffix}'
    )
    with pytest.raises(CorruptShardError, match='00000.npy.*must have 10 row'):
        FeatureCache(folder)


def test_the_remedy_works(tmp_path):
    """Delete the named file, write what is not complete."""
    maps, labels = images()
    folder = write(tmp_path, maps, labels)
    (folder / 'shard_00001.npy').write_bytes(b'')
    with pytest.raises(CorruptShardError):
        FeatureCache(folder)
    (folder / 'shard_00001.json').unlink()
    again = [n for n in range(3) if not is_complete(folder, n)]
    assert again == [1]
    write_shard(folder, 1, maps[2:4], labels[2:4])
    found = FeatureCache(folder, verify=True).vectors(np.arange(24))
    np.testing.assert_array_equal(found, rows_of(maps))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"num_shards": 3', 'cache.json is not valid JSON'),
        ('[' * 99999, 'cache.json is nested too deeply'),
        ('[3]', 'num_shards, a whole number up to 1000000, got None'),
        ('{"num_shards": "3"}', "got '3'; delete "),
        ('{"num_shards": -1}', 'got -1; delete '),
        ('{"num_shards": 1e99}', 'got 1e.99; delete '),
        ('{"num_shards": ' + '9' * 30 + '}', 'got 9'),
        ('{"num_shards": ' + '9' * 5000 + '}', 'not valid JSON: Exceeds'),
    ],
)
def test_broken_description(tmp_path, text, message):
    folder = write(tmp_path, *images())
    (folder / 'cache.json').write_text(text)
    for use in (FeatureCache, lambda path: open_folder(path, {})):
        with pytest.raises(ValueError, match=message) as error:
            use(folder)
        assert str(folder / 'cache.json') in str(error.value)


@pytest.mark.parametrize(
    'text',
    [
        *('', '{"sizes": ', '[]', '{}', '{"sizes": 3}', '{"sizes": [[2]]}'),
        *('{"sizes": [["2", 3], [4, 1]]}', '{"sizes": [[-2, -3], [4, 1]]}'),
        *('{"sizes": [[2.0, 3], [4, 1]]}', '[' * 99999),
    ],
)
def test_broken_record_of_a_shard(tmp_path, text):
    folder = write(tmp_path, *images())
    (folder / 'shard_00000.json').write_text(text)
    with pytest.raises(CorruptShardError, match='00000.json is damaged'):
        FeatureCache(folder)


@pytest.mark.parametrize(
    ('suffix', 'array'),
    [
        ('.npy', np.zeros(10, np.float32)),
        ('.npy', np.float32(1)),
        ('.npy', np.zeros((10, 3), 'U4')),
        ('.npy', np.zeros((10, 4), np.float32)),
        ('.labels.npy', np.zeros((10, 1), np.uint8)),
        ('.labels.npy', np.zeros(10)),
    ],
)
def test_arrays_of_another_kind(tmp_path, suffix, array):
    folder = write(tmp_path, *images())
    np.save(folder / f'shard_00001{suffix}', array)
    (folder / 'shard_00001.json').write_text('{"sizes": [[10, 1]]}')
    with pytest.raises(CorruptShardError, match='shard_00001.* is damaged'):
        FeatureCache(folder)


def test_it_executes_nothing(tmp_path):
    """An object array needs pickle, which could run anything."""
    folder = write(tmp_path, *images())
    np.save(folder / 'shard_00000.npy', np.array([print], dtype=object))
    with pytest.raises(CorruptShardError, match='00000.npy'):
        FeatureCache(folder)


@pytest.mark.parametrize(
    ('suffix', 'values'),
    [
        ('.npy', np.zeros((10, 3))),
        ('.npy', np.zeros((10, 3), '>f4')),
        ('.npy', np.zeros((10, 3), object)),
        ('.labels.npy', np.full(10, 300, np.uint16)),
        ('.labels.npy', np.zeros(10, bool)),
    ],
)
def test_arrays_that_are_never_written(tmp_path, suffix, values):
    folder = write(tmp_path, *images())
    np.save(folder / f'shard_00000{suffix}', values)
    with pytest.raises(CorruptShardError, match=f'00000{suffix} is damaged'):
        FeatureCache(folder)


def test_an_archive_in_the_place_of_an_array(tmp_path):
    folder = write(tmp_path, *images())
    with open(folder / 'shard_00000.npy', 'wb') as file:
        np.savez(file, features=np.zeros((10, 3)))
    with pytest.raises(CorruptShardError, match='00000.npy is damaged'):
        FeatureCache(folder)
