"""The work of a rank: what it asks for, and what it leaves out."""

from pathlib import Path

import numpy as np
import pytest

from mining_helpers import make_shard
from mmood.mining import ShardFolder, mine_shards, read_shard
from mmood.mining.shards import chosen_boxes

NAMES = [f'{i}.png' for i in range(11)]


@pytest.fixture
def finder():
    """Function to mine, and what it was asked: paths, place, least score."""
    asked = []

    def find(paths, first, least, tick):
        asked.append((paths, first, least))
        tick(len(paths))
        rng = np.random.default_rng(first)
        shard = make_shard(rng, 6, range(first, first + len(paths)))
        kept = np.flatnonzero(shard.ood_score >= least)
        for name in ('image', 'boxes', 'confidence', 'ood_score', 'label'):
            setattr(shard, name, getattr(shard, name)[kept])
        shard.features = shard.features[kept]
        crops = [shard.crop(i) for i in kept]
        shard.crop_sizes = np.array([len(crop) for crop in crops], int)
        shard.crops = np.frombuffer(b''.join(crops), np.uint8)
        return shard

    return find, asked


def folder(path):
    shards = ShardFolder(path, dict(images=11, images_per_shard=3))
    shards.open()
    return shards


def kept_scores(shards, top):
    parts = zip(shards, chosen_boxes(shards, top))
    return np.concatenate([shard.ood_score[kept] for shard, kept in parts])


def test_only_what_is_missing_is_asked_for(tmp_path, finder):
    find, asked = finder
    shards = folder(tmp_path)
    mine_shards(find, shards, 'images', NAMES, rank=1, ranks=2)
    assert [first for _, first, _ in asked] == [3, 9]
    assert asked[0][0] == [Path('images', f'{i}.png') for i in (3, 4, 5)]
    assert len(asked[1][0]) == 2
    asked.clear()
    mine_shards(find, shards, 'images', NAMES)
    assert [first for _, first, _ in asked] == [0, 6]
    assert all(least == -np.inf for *_, least in asked)


@pytest.mark.parametrize('ranks', [1, 2, 3])
def test_the_highest_are_the_same_after_a_stop_and_on_ranks(
    tmp_path, finder, ranks
):
    find, asked = finder
    every = folder(tmp_path / 'all')
    mine_shards(find, every, '', NAMES)
    asked.clear()
    some = folder(tmp_path / 'top')
    mine_shards(find, some, '', NAMES, top=5, rank=0, ranks=ranks)
    assert ranks > 2 or asked[-1][2] > -np.inf  # what is low was left out
    (tmp_path / 'top/000000.npz').unlink()
    for rank in range(ranks):
        mine_shards(find, some, '', NAMES, top=5, rank=rank, ranks=ranks)
    np.testing.assert_array_equal(kept_scores(some, 5), kept_scores(every, 5))
    counts = [sum(map(len, shards)) for shards in (some, every)]
    assert ranks > 2 or counts[0] < counts[1]
    assert len(read_shard(tmp_path / 'top/000000.npz').sizes) == 3
