"""The work of one rank: find what is missing of its shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from .shards import Shard, ShardFolder, TopScores, read_shard, write_shard

# Paths of consecutive pictures, the place of the first one, the least score
# that counts, who hears how many are done -> what is found in them.
Finder = Callable[[Sequence[Path], int, float, Callable], Shard]


def mine_shards(
    find: Finder,
    shards: ShardFolder,
    images: str | Path,
    names: Sequence[str],
    *,
    top: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> None:
    """Write this rank's shards, but for those that are there.

    ``names`` are of all pictures in the folder ``images``. With ``top``
    boxes that cannot be among so many highest scores are left out: the rank
    remembers its own highest ones, no more.
    """
    best = TopScores(top) if top else None
    own = shards.own(rank, ranks)
    total = sum(len(shards.images(number)) for number in own)
    with tqdm(
        total=total, desc='mining', unit='image', disable=rank > 0
    ) as bar:
        for number in own:
            places, path = shards.images(number), shards.path(number)
            if path.is_file():
                bar.update(len(places))
                if best:
                    best.add(read_shard(path).ood_score)
                continue
            paths = [Path(images, names[place]) for place in places]
            least = best.least if best else float('-inf')
            shard = find(paths, places[0], least, bar.update)
            write_shard(path, shard)
            if best:
                best.add(shard.ood_score)
