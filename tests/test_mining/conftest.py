"""A folder of results of made-up shards."""

import numpy as np
import pytest

from mining_helpers import jpeg, make_shard
from mmood.mining import (
    ShardFolder,
    group_features,
    write_results,
    write_shard,
)

CLASSES = ['circle', 'bar', 'star']
EVIL = '<script>window.hacked=1</script>'


@pytest.fixture
def results(tmp_path):
    """Function: results of boxes of so many looks; rows and groups."""

    def write(looks=(30, 20), classes=CLASSES, name='a b', **more):
        rng = np.random.default_rng(0)
        look = rng.permutation(np.repeat(np.arange(len(looks)), looks))
        features = np.eye(8)[look] + 0.02 * rng.normal(size=(len(look), 8))
        parts = np.array_split(np.arange(len(look)), 3)
        about = dict(images=6, images_per_shard=2, score='energy')
        about['threshold'] = -1.5
        shards = ShardFolder(tmp_path / 'shards', about)
        shards.open()
        for number, own in enumerate(parts):
            crops = [jpeg((40 + 60 * n, 90, 200)) for n in look[own]]
            images = shards.images(number)
            shard = make_shard(rng, len(own), images, features[own], crops)
            write_shard(shards.path(number), shard)
        names = [f'{name}/{i}.png' for i in range(6)]

        def group(rows):
            return group_features(rows, 'hdbscan', min_group=10)

        info = dict(about, classes=classes)
        found = write_results(
            tmp_path, shards, names, classes, group, info=info, **more
        )
        return tmp_path, look, *found

    return write
