"""Collect the unknown objects of many images and group those that look alike.

Writes unknown.json (COCO, for annotation tools), unknown.csv, index.html and
crops in --out. A run that was stopped goes on; one that has ended groups
anew, by other --groups for instance, without asking the detector again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.config import Config

from mmood.launch import OptionsAction, clear_errors, ignore_foreign
from mmood.mining import (
    ShardFolder,
    Truth,
    group_features,
    measure_groups,
    mine_shards,
    write_results,
)
from mmood.mining.groups import check_how
from mmood.ops import FolderInUseError, file_sha256, list_images, lock_folder
from mmood.recipe import load
from mmood.scores import NotFittedError
from mmood.version import __version__


def start_ranks(launcher: str, local_rank: int) -> tuple[int, int, str | None]:
    """This rank, their number and its device; None: the default one.

    Ranks only wait for each other, which a GPU need not do.
    """
    if launcher == 'none':
        return 0, 1, None
    # A shard of large pictures on a CPU may take long.
    dist.init_process_group('gloo', timeout=timedelta(days=7))
    local = int(os.environ.get('LOCAL_RANK', local_rank))
    device = f'cuda:{local}' if torch.cuda.is_available() else 'cpu'
    return dist.get_rank(), dist.get_world_size(), device


def digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(
    args: argparse.Namespace, cfg: Config, finder, names: Sequence[str]
) -> dict:
    """All that changes which boxes are found, for the folder's marker."""
    parts = {key: cfg.get(key) for key in ('model', 'test_dataloader')}
    return dict(
        images=len(names),
        images_per_shard=args.images_per_shard,
        names=digest(list(names)),
        config=digest(Config(parts).to_dict()),
        checkpoint=file_sha256(args.checkpoint),
        score=finder.score,
        # Infinity, of --top, is no JSON.
        threshold=None if args.top else finder.threshold,
        confidence=finder.confidence,
        top=args.top,
        batch_size=args.batch_size,
        **{
            key: value
            for key, value in asdict(finder.choice).items()
            if key in ('iou', 'min_size', 'margin', 'crop_size')
        },
    )


def kept_boxes(args: argparse.Namespace, images: int) -> int | None:
    """``--top`` of every 1,000 images, rounded up."""
    return -(-args.top * images // 1000) if args.top else None


def finish(
    args: argparse.Namespace,
    finder,
    shards: ShardFolder,
    names: Sequence[str],
    truth: Truth | None,
) -> None:
    info = dict(
        description='unknown objects, found by tools/mine_unknowns.py',
        mmood=__version__,
        config_file=str(args.config),
        checkpoint_file=str(args.checkpoint),
        image_folder=os.path.relpath(args.images, args.out),
        classes=finder.classes,
        groups=args.groups,
        pca=args.pca,
        seed=args.seed,
        **shards.about,
    )

    def group(features):
        return group_features(
            features,
            args.groups,
            min_group=args.min_group,
            dims=args.pca,
            sample=args.sample,
            seed=args.seed,
        )

    rows, groups = write_results(
        args.out,
        shards,
        names,
        finder.classes,
        group,
        top=kept_boxes(args, len(names)),
        info=info,
    )
    count = groups.labels.max(initial=-1) + 1
    left = int((groups.labels < 0).sum())
    print(
        f'{len(rows)} unknown boxes of {len(names)} images in {count} groups'
        f', {left} not grouped: {args.out}/index.html, unknown.json, '
        'unknown.csv'
    )
    if truth:
        of = {n for objects in truth.objects.values() for n, _ in objects}
        unknown = sorted(of - set(finder.classes))
        shown = [names[i] for i in rows['image']]
        found = measure_groups(
            truth, shown, rows['box'], groups.labels, unknown
        )
        print(json.dumps(found))


def group_argument(text: str) -> str | int:
    how = int(text) if text.isdecimal() else text
    try:
        check_how(how)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return how


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be from 1 up, got {text}')
    return int(text)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('config')
    add('checkpoint')
    add('images', type=Path, help='folder; with the folders in it')
    add('--out', type=Path, required=True, help='folder for all that is made')
    add('--cfg-options', nargs='+', action=OptionsAction)
    add('--score', help='OOD score; else the first of the config')
    add('--ood-threshold', type=float, help="else the checkpoint's")
    add(
        '--top',
        type=positive,
        help='instead of a threshold: so many boxes of every 1,000 images, '
        'those with the highest scores of all',
    )
    add(
        '--score-thr',
        type=float,
        help="least class confidence; else the checkpoint's",
    )
    add('--iou', type=float, default=0.5, help='more overlap: one object')
    add('--min-size', type=float, default=1.0, help='pixels of both sides')
    add('--margin', type=float, default=0.1, help='of a crop, part of a side')
    add('--crop-size', type=positive, default=192, help='pixels, at most')
    add('--batch-size', type=positive, default=1)
    add('--images-per-shard', type=positive, default=64)
    add('--device', help='cpu, cuda:0, ...')
    add(
        '--groups',
        type=group_argument,
        default='hdbscan',
        help="'hdbscan', or the number of groups of k-means",
    )
    add('--min-group', type=positive, help="least size of HDBSCAN's groups")
    add('--pca', type=positive, default=16, help='dimensions to group in')
    add(
        '--sample',
        type=positive,
        default=20_000,
        help='groups are found in so many boxes, the others join them',
    )
    add('--seed', type=int, default=0)
    add(
        '--truth',
        nargs='+',
        metavar='JSON',
        help='COCO files: their images alone, and purity and recall of groups',
    )
    add('--launcher', choices=['none', 'pytorch'], default='none')
    add('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args(argv)


@clear_errors(OSError, ValueError, FolderInUseError, NotFittedError)
def main(argv: Sequence[str] | None = None) -> None:
    from mmood.det.mining import Choice, UnknownFinder

    args = parse_args(argv)
    ignore_foreign()
    sys.path.append(os.getcwd())  # for a config's custom_imports
    choice = Choice(
        score=args.score,
        threshold=args.ood_threshold,
        by_rank=args.top is not None,
        confidence=args.score_thr,
        iou=args.iou,
        min_size=args.min_size,
        margin=args.margin,
        crop_size=args.crop_size,
    )
    if args.images.resolve() in args.out.resolve().parents:
        raise ValueError(
            f'--out {args.out} lies in {args.images}, whose pictures are '
            'mined, so that the crops would be too: choose another folder'
        )
    truth = Truth(*args.truth) if args.truth else None
    names = truth.names if truth else image_names(args.images)
    rank, ranks, device = start_ranks(args.launcher, args.local_rank)
    cfg = load(args.config, args.cfg_options)
    device = args.device or device
    finder = UnknownFinder(cfg, args.checkpoint, choice, device)
    about = describe(args, cfg, finder, names)
    shards = ShardFolder(args.out / 'shards', about)
    with lock_folder(args.out) if rank == 0 else nullcontext():
        if rank == 0:
            shards.open()
        if ranks > 1:
            dist.barrier()
        mine_shards(
            partial(finder.find, batch_size=args.batch_size),
            shards,
            args.images,
            names,
            top=kept_boxes(args, len(names)),
            rank=rank,
            ranks=ranks,
        )
        if ranks > 1:
            dist.barrier()
        if rank == 0:
            finish(args, finder, shards, names, truth)


def image_names(folder: Path) -> list[str]:
    """Relative to the folder, ``/`` between parts."""
    found = list_images(folder)
    if not found:
        raise ValueError(f'{folder} has no image: name a folder with some')
    return [Path(path).relative_to(folder).as_posix() for path in found]


if __name__ == '__main__':
    main()
