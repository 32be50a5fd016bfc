"""The groups as a page: a row each, its typical boxes first.

The page stands beside its crops and opens from the file, without a server
and without the network. Names stand in one block of JSON, in which nothing
can end the block, and the script sets them as text.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from mmood.ops import atomic_write
from mmood.visualization.pages import fill_page, page_json, script_hash

MOST_CROPS = 120  # of a group in the page
_SHOWN = (
    *('id', 'file_name', 'crop', 'bbox'),
    *('ood_score', 'confidence', 'taken_for'),
)


class _Group:
    """What a row says; keeps the boxes of the first places only."""

    def __init__(self) -> None:
        self.size = 0
        self.sums = dict(ood_score=0.0, confidence=0.0)
        self.classes: Counter = Counter()
        self.images: set[int] = set()
        self.first: list[tuple] = []

    def add(self, box: dict) -> None:
        self.size += 1
        for key in self.sums:
            self.sums[key] += box[key]
        self.classes[box['taken_for']] += 1
        self.images.add(box['image'])
        item = (-box['place'], -box['id'], box)
        if len(self.first) < MOST_CROPS:
            heapq.heappush(self.first, item)
        else:
            heapq.heappushpop(self.first, item)

    def row(self, number: int) -> dict:
        first = sorted(self.first, key=lambda item: item[:2], reverse=True)
        name, count = self.classes.most_common(1)[0]
        return dict(
            group=number,
            size=self.size,
            images=len(self.images),
            ood_score=self.sums['ood_score'] / self.size,
            confidence=self.sums['confidence'] / self.size,
            taken_for=name,
            share=count / self.size,
            boxes=[{k: box[k] for k in _SHOWN} for *_, box in first],
        )


def write_gallery(path: str | Path, boxes: Sequence[dict], info: dict) -> None:
    """A page on the boxes, dicts as those of ``unknown.csv``."""
    groups: dict[int, _Group] = {}
    for box in boxes:
        groups.setdefault(box['group'], _Group()).add(box)
    rows = [groups[number].row(number) for number in sorted(groups)]
    blocks = dict(script=_file('gallery.js'), style=_file('gallery.css'))
    blocks['hash'] = script_hash(blocks['script'])
    blocks['data'] = page_json(dict(groups=rows, info=info))
    with atomic_write(path) as file:
        file.write(fill_page(_file('gallery.html'), blocks))


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text('utf-8')
