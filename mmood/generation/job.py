"""A generation run: selecting images, painting them, merging the results.

Every object is painted from a seed of its own, so the pictures do not
depend on the number of ranks, on the order, or on where a run was stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from tqdm import tqdm

from mmood.ops import read_json, write_json
from mmood.registry import PAINTERS

from . import records
from .canvas import Artist, Canvas, flag_annotations
from .contact_sheet import write_contact_sheet
from .plan import Target, plan_image, select_images
from .report import summarise
from .settings import Settings, check_same


@dataclass
class Job:
    """What `prepare` found out; the same on all ranks."""

    settings: Settings
    resolved: dict
    out: Path
    source: dict
    selected: list[dict]
    artist: Artist

    def __post_init__(self) -> None:
        self.annotations = records.by_image(self.source)

    def plan(self, image: dict) -> tuple[list[Target], dict[str, int]]:
        limits = self.settings.limits()
        return plan_image(image, self.annotations[image['id']], **limits)


def prepare(settings: Settings, out: Path) -> Job:
    """Read the annotations, build painter and filters, select the images.

    Nothing is written. Raises FileNotFoundError or ValueError for settings
    that cannot work, differ from those of the images in ``out``, or leave
    nothing to paint.
    """
    source = records.read_source(
        Path(settings.data['ann_file']),
        settings.data.get('allow_outside', False),
    )
    resolved = settings.resolved()
    if any((out / 'records').glob('*.json')):
        check_same(out / 'settings.json', resolved)
    selected = select_images(
        source['images'],
        records.by_image(source),
        settings.num_images,
        settings.seed,
        **settings.limits(),
    )
    artist = Artist(
        _build(settings.painter, 'painter'),
        [_build(f, 'filters') for f in settings.filters],
        {c['id']: c['name'] for c in source['categories']},
        settings.seed,
        settings.attempts,
        settings.padding,
        settings.feather,
    )
    job = Job(settings, resolved, out, source, selected, artist)
    _check_targets(job)
    return job


def _build(config: Mapping, what: str) -> Any:
    try:
        return PAINTERS.build(dict(config))
    except (KeyError, TypeError) as error:
        raise ValueError(f'{what}: {error.args[0]}') from error


def _check_targets(job: Job) -> None:
    """Raise ValueError for nothing to paint or a class nobody can paint."""
    if not job.selected:
        reasons: Counter[str] = Counter()
        for image in job.source['images']:
            reasons.update(job.plan(image)[1])
        counts = ', '.join(f'{n} {name}' for name, n in reasons.items())
        raise ValueError(
            f'{job.settings.data["ann_file"]} has no object to paint '
            f'(skipped: {counts or "none"}); see min_area, now '
            f'{job.settings.min_area} square pixels'
        )
    used = {
        target.annotation['category_id']
        for image in job.selected
        for target in job.plan(image)[0]
    }
    classes = [job.artist.labels[i] for i in sorted(used)]
    for part in (job.artist.painter, *job.artist.filters):
        if hasattr(part, 'check_classes'):
            part.check_classes(classes)


def run(job: Job, rank: int = 0, world_size: int = 1) -> None:
    """Paint this rank's images: of the selected, every world_size-th.

    Those with a record are done. Rank 0 shows its own progress. Raises
    NotWrittenError if a file cannot be written.
    """
    if rank == 0:
        write_json(job.out / 'settings.json', job.resolved)
    _barrier(world_size)
    mine = job.selected[rank::world_size]
    todo = [i for i in mine if not records.read_record(job.out, i['id'])]
    bar = tqdm(
        todo,
        desc='painting',
        unit='image',
        initial=len(mine) - len(todo),
        total=len(mine),
        disable=rank != 0,
    )
    for image in bar:
        record = paint_image(job, image)
        write_json(records.record_path(job.out, image['id']), record)
    _barrier(world_size)


def _barrier(world_size: int) -> None:
    if world_size > 1:
        dist.barrier()


def paint_image(job: Job, image: dict) -> dict:
    """Paint one image and write it, if anything changed; its record."""
    start = time.perf_counter()
    name = records.picture_name(image)
    (job.out / name).unlink(missing_ok=True)
    path = Path(job.settings.data['img_root']) / image['file_name']
    try:
        pixels = records.read_image(path, image['width'], image['height'])
    except (OSError, ValueError) as error:
        tqdm.write(f'skipped: {error}')
        return dict(id=image['id'], image=None, error=str(error))
    targets, skipped = job.plan(image)
    canvas = Canvas(image, pixels)
    for target in targets:
        job.artist.paint(canvas, target)
    picture = None
    if canvas.painted:
        records.write_png(job.out / name, canvas.pixels)
        picture = {**image, 'file_name': name, 'source': image['file_name']}
    return dict(
        id=image['id'],
        image=picture,
        annotations=flag_annotations(canvas, job.annotations[image['id']]),
        skipped=skipped,
        discarded=canvas.discarded,
        given_up=len(targets) - len(canvas.painted),
        seconds=time.perf_counter() - start,
    )


def finish(job: Job) -> dict:
    """Merge the records; write annotations, contact sheet and report.

    Returns the report, see `summarise`.
    """
    found = [
        read_json(records.record_path(job.out, image['id']))
        for image in sorted(job.selected, key=lambda image: image['id'])
    ]
    info = dict(
        description='objects with ood=1 were painted in',
        settings=job.resolved,
    )
    coco = records.merge(found, job.source, info)
    report = summarise(found, job.settings.num_images)
    write_json(job.out / 'annotations.json', coco)
    img_root = Path(job.settings.data['img_root'])
    write_contact_sheet(job.out, found, img_root, report)
    write_json(job.out / 'report.json', report)
    return report
