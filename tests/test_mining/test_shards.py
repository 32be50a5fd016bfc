"""Shards: what is kept of many, and in which folder."""

import numpy as np
import pytest

from mining_helpers import make_shard
from mmood.mining import ShardFolder, TopScores, read_shard, write_shard
from mmood.mining.shards import chosen_boxes


def filled(folder, counts, seed=0, per_shard=2, decimals=1):
    """A folder with ``counts`` boxes in its shards, many scores equal."""
    about = dict(images=per_shard * len(counts), images_per_shard=per_shard)
    shards = ShardFolder(folder, about)
    shards.open()
    rng = np.random.default_rng(seed)
    for number, count in enumerate(counts):
        shard = make_shard(rng, count, shards.images(number))
        shard.ood_score = shard.ood_score.round(decimals)
        write_shard(shards.path(number), shard)
    return shards


def test_a_shard_comes_back(tmp_path):
    shard = make_shard(np.random.default_rng(0), 5, range(4, 6))
    write_shard(tmp_path / 'a.npz', shard)
    found = read_shard(tmp_path / 'a.npz')
    for name, value in vars(shard).items():
        np.testing.assert_array_equal(getattr(found, name), value)
        assert getattr(found, name).dtype == value.dtype
    assert [found.crop(i) for i in range(5)] == [
        shard.crop(i) for i in range(5)
    ]
    assert found.crop(2) == b'crop 2' * 3


def test_a_broken_shard_says_what_to_do(tmp_path):
    path = tmp_path / 'a.npz'
    write_shard(path, make_shard(np.random.default_rng(0), 3, range(2)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r'a\.npz cannot be read.*remove it'):
        read_shard(path)


def test_another_run_in_the_folder_is_refused(tmp_path):
    about = dict(images=5, images_per_shard=2, score='energy')
    ShardFolder(tmp_path, about).open()
    ShardFolder(tmp_path, about).open()
    other = ShardFolder(tmp_path, dict(about, score='msp'))
    with pytest.raises(ValueError, match="score = 'energy'.*'msp'.*--out"):
        other.open()


def test_shards_are_shared_and_cover_all_images(tmp_path):
    shards = ShardFolder(tmp_path, dict(images=11, images_per_shard=3))
    assert shards.count == 4
    images = [i for n in range(4) for i in shards.images(n)]
    assert images == list(range(11))
    numbers = [n for rank in range(3) for n in shards.own(rank, 3)]
    assert sorted(numbers) == list(range(4))


@pytest.mark.parametrize('count', [1, 4, 100])
def test_the_highest_scores_whatever_the_order(count):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=37)
    top = TopScores(count)
    assert top.least == -np.inf
    for part in np.array_split(scores, 5):
        top.add(part)
    best = np.sort(scores)[::-1]
    assert top.least == (best[count - 1] if count < 37 else -np.inf)


@pytest.mark.parametrize('top', [None, 1, 7, 12, 50])
def test_the_highest_of_all_shards_the_first_of_equals(tmp_path, top):
    shards = filled(tmp_path, [6, 0, 9, 4])
    kept = list(chosen_boxes(shards, top))
    scores = np.concatenate([shard.ood_score for shard in shards])
    starts = np.cumsum([0, 6, 0, 9])
    found = np.concatenate([s + k for s, k in zip(starts, kept)])
    order = np.argsort(-scores, kind='stable')[:top]
    np.testing.assert_array_equal(found, np.sort(order))


def test_no_shard_has_any_box(tmp_path):
    shards = filled(tmp_path, [0, 0])
    for top in (None, 3):
        assert sum(map(len, chosen_boxes(shards, top))) == 0
