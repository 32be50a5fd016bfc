"""FeatureDataset: the same training from images and from a cache."""

import numpy as np
import pytest
import torch
from scipy import stats

from mmood.losses import Batch
from mmood.registry import DATASETS, MODELS
from mmood.seg.datasets import FeatureDataset
from mmood.seg.datasets.feature_cache import open_folder, write_shard
from seg_helpers import lively, tiny_loss

IGNORED = 255


class Images(torch.utils.data.Dataset):
    """A set of which items are known."""

    metainfo = dict(classes=('a', 'b'))

    def full_init(self):
        pass

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return dict(inputs=index)


@pytest.fixture
def build(monkeypatch):
    monkeypatch.setitem(DATASETS.module_dict, 'Images', Images)

    def make(cache=None, **options):
        cfg = dict(type='mmood.Images')
        cache = None if cache is None else str(cache)
        return FeatureDataset(cfg, cache, **options)

    return make


def write(folder, maps, labels, per_shard=2):
    open_folder(folder, dict(num_shards=-(-len(maps) // per_shard)))
    for number, first in enumerate(range(0, len(maps), per_shard)):
        part = slice(first, first + per_shard)
        write_shard(folder, number, maps[part], labels[part])
    return folder


def numbered(folder, images=6, side=4, ignored=()):
    """A cache of vectors (i, -i); rows in ``ignored`` are not valid."""
    count = images * side**2
    values = np.arange(count, dtype='float32')
    maps = np.stack([values, -values]).reshape(2, images, side, side)
    labels = np.isin(values, ignored).reshape(images, side, side) * IGNORED
    return write(folder, list(maps.swapaxes(0, 1)), list(labels))


def drawn(item):
    assert torch.equal(item['features'][:, 0], -item['features'][:, 1])
    return item['features'][:, 0].long().tolist()


def test_without_a_cache_it_is_the_image_set(build):
    dataset = build()
    dataset.full_init()
    assert len(dataset) == 7
    assert dataset[3] == dict(inputs=3)
    assert dataset.metainfo == dict(classes=('a', 'b'))


def test_everything_is_ignored(build, tmp_path):
    numbered(tmp_path, ignored=range(96))
    with pytest.raises(ValueError, match=r'all features of .* ignored \(255'):
        build(tmp_path)
    assert len(build(tmp_path, ignore_index=7)) == 1


def test_no_cache_and_a_half_one(build, tmp_path):
    with pytest.raises(FileNotFoundError, match='has no cache.json'):
        build(tmp_path)
    open_folder(tmp_path, dict(num_shards=1))
    with pytest.raises(FileNotFoundError, match='lacks 1 of 1 shards'):
        build(tmp_path)


def test_fewer_features_than_asked_for(build, tmp_path):
    """All of them, once; a batch is smaller then."""
    dataset = build(numbered(tmp_path, ignored=[0, 50]), vectors=500)
    valid = [i for i in range(96) if i not in (0, 50)]
    assert len(dataset) == 1
    assert drawn(dataset[0]) == drawn(dataset[0]) == valid
    assert len(build(tmp_path, vectors=94)) == 1


def test_an_epoch_has_as_many_vectors_as_the_cache(build, tmp_path):
    numbered(tmp_path, ignored=range(90, 96))
    lengths = [len(build(tmp_path, vectors=v)) for v in (1, 7, 45, 89)]
    assert lengths == [90, 13, 2, 2]
    assert build(tmp_path).metainfo == dict(classes=('a', 'b'))


def test_draws_are_uniform_over_the_valid_features(build, tmp_path):
    """Also over the edges of shards, and images with few valid ones."""
    ignored = [*range(5), *range(17, 48), 95]
    dataset = build(numbered(tmp_path, ignored=ignored), vectors=20)
    counts = np.zeros(96)
    for turn in range(300):
        np.add.at(counts, drawn(dataset[turn % len(dataset)]), 1)
    assert not counts[ignored].any()
    valid = np.delete(counts, ignored)
    assert valid.sum() == 6000
    assert stats.chisquare(valid).pvalue > 1e-3


def test_items_and_turns_and_seeds_differ(build, tmp_path):
    """As workers see them: each has its own copy of the dataset."""
    numbered(tmp_path)
    first, second = build(tmp_path, vectors=10), build(tmp_path, vectors=10)
    items = [drawn(first[i]) for i in range(4)]
    assert len({tuple(item) for item in items}) == 4
    # Another worker with the same items draws the same, in any process.
    assert [drawn(second[i]) for i in range(4)] == items
    # Workers that take turns do not repeat each other.
    even, odd = (build(tmp_path, vectors=10) for _ in range(2))
    parts = [drawn(even[0]), drawn(odd[1]), drawn(even[2]), drawn(odd[3])]
    assert len({tuple(part) for part in parts}) == 4
    assert drawn(first[0]) != items[0]  # the next epoch
    assert drawn(build(tmp_path, vectors=10, seed=1)[0]) != items[0]


def test_torchs_seed_does_not_matter(build, tmp_path):
    numbered(tmp_path)
    torch.manual_seed(4)
    np.random.seed(4)
    first = drawn(build(tmp_path, vectors=10)[2])
    assert drawn(build(tmp_path, vectors=10)[2]) == first


def test_whole_maps(build, tmp_path):
    """fp16 and the labels of each image, for a denoiser that needs maps."""
    rng = np.random.default_rng(0)
    maps = list(rng.normal(size=(3, 4, 5, 2)).astype('float16'))
    labels = list(rng.choice([0, 3, IGNORED], (3, 5, 2)))
    dataset = build(write(tmp_path, maps, labels), maps=True)
    assert len(dataset) == 3
    for i in range(3):
        item = dataset[i]
        assert item['features'].dtype == torch.float16
        np.testing.assert_array_equal(item['features'], maps[i])
        label = item['data_samples'].gt_sem_seg.data
        assert label.dtype == torch.int64
        np.testing.assert_array_equal(label[0], labels[i])
    item['features'].zero_()  # a copy, not the file
    np.testing.assert_array_equal(dataset[2]['features'], maps[2])


def scene(rng, number):
    """A map of 8 x 8 features whose centre differs from image to image."""
    centre = 3 * np.sin(number + np.arange(32))
    features = centre[:, None, None] + rng.normal(size=(32, 8, 8))
    label = np.zeros((8, 8), int)
    label[:2] = IGNORED
    features[:, :2] = 1e3  # no training may ever see these
    return features.astype('float32'), label


def test_the_cache_has_the_distribution_of_training_on_images(build, tmp_path):
    """First moments, covariance and range, of 20 images in both ways.

    Both ways draw 9,600 times from 960 vectors of variance 5.5. Tolerances
    are 5 sigma: 0.024 of the mean, 0.08 of the variance, 22 of a count.
    """
    rng = np.random.default_rng(0)
    maps, labels = zip(*(scene(rng, i) for i in range(20)))
    valid = np.concatenate([m[:, 2:].reshape(32, -1).T for m in maps])

    loss = lively(MODELS.build(tiny_loss(batch_size=120, buffer_size=960)))
    looped = []
    draw = loss.buffer.draw
    loss.buffer.draw = lambda n: looped.append(draw(n)) or looped[-1]
    order = np.random.default_rng(1)
    for _ in range(9):  # epochs of ten steps; the first fills the buffer
        for pair in order.permutation(20).reshape(10, 2):
            features = torch.from_numpy(np.stack([maps[i] for i in pair]))
            label = torch.from_numpy(np.stack([labels[i] for i in pair]))
            loss(Batch(features=features, labels=label))
    looped = torch.cat(looped[-80:]).numpy()

    folder = write(tmp_path, maps, labels, per_shard=6)
    dataset = build(folder, vectors=60)
    items = [dataset[i % len(dataset)]['features'] for i in range(160)]
    cached = torch.cat(items).numpy()
    of_cache = lively(MODELS.build(tiny_loss()))
    for item in items:
        of_cache(Batch(features=item))

    assert looped.shape == cached.shape == (9600, 32)
    known = {row.tobytes(): i // 48 for i, row in enumerate(valid)}
    for sample in (looped, cached):
        np.testing.assert_allclose(sample.mean(0), valid.mean(0), atol=0.12)
        np.testing.assert_allclose(np.cov(sample.T), np.cov(valid.T), atol=0.4)
        shares = np.bincount([known[row.tobytes()] for row in sample])
        np.testing.assert_allclose(shares, [480] * 20, atol=110)
    for one in (loss, of_cache):
        np.testing.assert_array_equal(one.feature_range.minimum, valid.min(0))
        np.testing.assert_array_equal(one.feature_range.maximum, valid.max(0))
