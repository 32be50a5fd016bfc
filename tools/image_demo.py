"""Draw known and unknown boxes, or OOD score maps, on images."""

from __future__ import annotations

import argparse
import os.path as osp
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from mmood.launch import ignore_foreign, is_segmentor
from mmood.ops import OutputNames, list_pictures
from mmood.ops.cards import Card, card_sheet
from mmood.ops.pictures import write_picture
from mmood.recipe import load
from mmood.scores import NotFittedError


def split_readable(paths: list[str]) -> tuple[list[str], list[str]]:
    """The pictures that can be read, and the others."""
    readable, broken = [], []
    for path in paths:
        try:
            is_read = '://' in path or cv2.imread(path) is not None
        except cv2.error:
            is_read = False
        (readable if is_read else broken).append(path)
    return readable, broken


def input_sets(inputs: list[str]) -> dict[str, list[str]]:
    """Each folder is a set of its own, all single pictures are one.

    A set's name is what its path has not in common with the others'.
    """
    folders = [path for path in inputs if osp.isdir(path)]
    sets = {}
    names = OutputNames()
    for path, name in zip(folders, distinct(folders)):
        sets[names(name)] = list_pictures(path)
    singles = [path for path in inputs if path not in folders]
    if singles:
        sets[names('pictures')] = list_pictures(singles)
    return sets


def distinct(folders: list[str]) -> list[str]:
    """What tells the paths of folders apart, as names of folders."""
    paths = [Path(osp.abspath(folder)).parts for folder in folders]
    first = len(osp.commonprefix(paths))
    last = len(osp.commonprefix([path[::-1] for path in paths]))
    kept = [path[first : len(path) - last] or path[-1:] for path in paths]
    return ['_'.join(parts).replace('.', '_') for parts in kept]


def make_inferencer(args: argparse.Namespace, cfg: Config) -> Callable:
    """A function (pictures, out_dir) -> drawn pictures, RGB."""
    common = dict(weights=args.checkpoint, device=args.device)
    call = dict(
        batch_size=args.batch_size,
        ood_threshold=args.ood_threshold,
        score=args.score,
        return_vis=args.sheet is not None,
    )
    if is_segmentor(cfg):
        from mmood.seg import OODSegInferencer

        common['score_range'] = args.score_range
        inferencer = OODSegInferencer(cfg, **common)
    else:
        from mmood.det import OODDetInferencer

        inferencer = OODDetInferencer(cfg, **common)
        call.update(pred_score_thr=args.score_thr, no_save_pred=False)

    def run(pictures: list[str], out_dir: str) -> list[np.ndarray]:
        drawn = inferencer(pictures, out_dir=out_dir, **call)
        drawn = (drawn or {}).get('visualization', [])
        return [drawn] if isinstance(drawn, np.ndarray) else drawn

    return run


def draw(args: argparse.Namespace, cfg: Config, sets: dict) -> None:
    """Draw the pictures of all sets and write what is said of them."""
    run = make_inferencer(args, cfg)
    is_seg = is_segmentor(cfg)
    said = 'scores: {}/pred' if is_seg else 'boxes as JSON: {}/preds'
    cards = []
    for name, pictures in sets.items():
        several = len(sets) > 1
        folder = osp.join(args.out_dir, name) if several else args.out_dir
        for path, drawn in zip(pictures, run(pictures, folder)):
            title = osp.basename(path)
            cards.append(
                Card([drawn], f'{name}: {title}' if several else title)
            )
        print(f'drawn: {folder}/vis, {said.format(folder)}')
    if args.sheet:
        cell = (1200, 400) if is_seg else (440, 440)
        sheet = card_sheet(cards, args.columns, cell, size=15)
        write_picture(args.sheet, sheet)
        print(f'all of them in one picture: {args.sheet}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'inputs',
        nargs='+',
        help='images and folders; of several folders each is drawn to a '
        'folder of its own',
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--out-dir', default='outputs')
    parser.add_argument('--device', help='cpu, cuda:0, ...')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--limit', type=int, help='at most so many images of a folder'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        help="least class confidence; else the checkpoint's",
    )
    parser.add_argument(
        '--score', help='score to judge by; else the first of the config'
    )
    parser.add_argument(
        '--ood-threshold',
        type=float,
        help='OOD score above which a box or pixel is unknown; else the '
        "checkpoint's",
    )
    parser.add_argument(
        '--score-range',
        type=float,
        nargs=2,
        metavar=('LOW', 'HIGH'),
        help="scores at the ends of the colormap; else each image's own",
    )
    parser.add_argument(
        '--sheet', help='also write all drawings as one picture, to this file'
    )
    parser.add_argument('--columns', type=int, default=4, help='of the sheet')
    args = parser.parse_args()
    if args.columns < 1:
        parser.error(f'--columns must be 1 or more, got {args.columns}')
    if args.limit is not None and args.limit < 1:
        parser.error(f'--limit must be 1 or more, got {args.limit}')
    return args


def main() -> None:
    args = parse_args()
    ignore_foreign()
    try:
        cfg = load(args.config)
        sets, broken = {}, []
        for name, pictures in input_sets(args.inputs).items():
            readable, others = split_readable(pictures[: args.limit])
            broken += others
            if readable:
                sets[name] = readable
        if sets:
            draw(args, cfg, sets)
    except (OSError, ValueError, NotFittedError) as error:
        sys.exit(f'error: {error}')
    if broken:
        left_out = f'left out, cannot be read: {", ".join(broken)}'
        if not sets:
            sys.exit(left_out)
        print(left_out, file=sys.stderr)


if __name__ == '__main__':
    main()
