"""Unknown boxes of many images: kept on disk, grouped, written for people."""

from .groups import NOT_GROUPED, Groups, group_features
from .measure import Truth, measure_groups
from .results import write_results
from .run import mine_shards
from .shards import (
    Shard,
    ShardFolder,
    TopScores,
    read_shard,
    write_shard,
)

__all__ = [
    'Groups',
    'NOT_GROUPED',
    'Shard',
    'ShardFolder',
    'TopScores',
    'Truth',
    'group_features',
    'measure_groups',
    'mine_shards',
    'read_shard',
    'write_results',
    'write_shard',
]
