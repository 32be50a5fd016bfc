"""What the tests of generation runs share: painters, runs, their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers import write_coco
from mmood.generation import job as jobs
from mmood.generation.painter import Painter, Painting
from mmood.generation.settings import Settings
from mmood.registry import PAINTERS

BOXES = [
    [[2, 3, 20, 20]],
    [[5, 5, 30, 30], [1, 40, 5, 5]],  # the second is small
    [],
    [[0, 0, 40, 40], [25, 25, 20, 20]],
    [[60, 0, 20, 20], [10, 10, 0, 9]],  # bad boxes
    [[10, 10, 20, 25]],
]


@PAINTERS.register_module(force=True)
class JobTestPainter(Painter):
    """Noise from the seed; fails at the ``stop``-th painting."""

    name = 'test'
    calls = []

    def __init__(self, stop=None, classes=('cat',)):
        self.stop = stop
        self.classes = classes
        self.calls.clear()

    def check_classes(self, classes):
        if set(classes) - set(self.classes):
            raise ValueError(f'cannot paint {classes}')

    def paint(self, crop, mask, label, seed):
        if len(self.calls) == self.stop:
            raise KeyboardInterrupt
        self.calls.append(seed)
        rng = np.random.default_rng(seed)
        return Painting(rng.integers(0, 256, crop.shape, np.uint8), {})


@PAINTERS.register_module(force=True)
class JobTestFilter:
    """Keeps the bright ones."""

    name = 'dark'

    def __init__(self, least, classes=('cat',)):
        self.least = least
        self.classes = classes

    check_classes = JobTestPainter.check_classes

    def __call__(self, before, after, box, label):
        return after.mean()

    def keeps(self, value):
        return value >= self.least


def write_data(folder: Path) -> Path:
    """Six images, four of which have something to paint."""
    write_coco(folder, BOXES, ['cat'])
    return folder


def settings(data, **changes):
    paths = dict(ann_file=str(data / 'ann.json'), img_root=str(data))
    painter = dict(type='mmood.JobTestPainter')
    options = dict(data=paths, painter=painter, min_area=100, **changes)
    return Settings(**options)


def generate(data, out, stop=None, rank=0, world_size=1, **changes):
    """Report of a run, or of one that is stopped in a painting."""
    job = jobs.prepare(settings(data, **changes), out)
    job.artist.painter.stop = stop
    if stop is not None:
        with pytest.raises(KeyboardInterrupt):
            jobs.run(job, rank, world_size)
        return None
    jobs.run(job, rank, world_size)
    return jobs.finish(job)


def content(out):
    """Bytes of all files; of JSON the values, times and durations apart."""
    found = {}
    for path in out.rglob('*'):
        if path.suffix == '.json':
            value = json.loads(path.read_text(), object_hook=timeless)
            found[path.relative_to(out)] = value
        elif path.is_file() and path.suffix != '.html':
            found[path.relative_to(out)] = path.read_bytes()
    return found


def timeless(value):
    changing = ('time', 'seconds', 'hours')
    return {k: v for k, v in value.items() if k not in changing}
