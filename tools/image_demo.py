"""Draw known and unknown boxes, or OOD score maps, on images."""

from __future__ import annotations

import argparse
import sys

import cv2
from mmengine.config import Config

from mmood.launch import ignore_foreign, is_segmentor
from mmood.ops import list_pictures
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


def draw(args: argparse.Namespace, cfg: Config, images: list[str]) -> str:
    """Draw them and write what is said of them; where."""
    common = dict(weights=args.checkpoint, device=args.device)
    call = dict(
        batch_size=args.batch_size,
        out_dir=args.out_dir,
        ood_threshold=args.ood_threshold,
        score=args.score,
    )
    if is_segmentor(cfg):
        from mmood.seg import OODSegInferencer

        inferencer = OODSegInferencer(
            cfg, score_range=args.score_range, **common
        )
        inferencer(images, **call)
        return f'drawn: {args.out_dir}/vis, scores: {args.out_dir}/pred'
    from mmood.det import OODDetInferencer

    inferencer = OODDetInferencer(cfg, **common)
    inferencer(
        images, pred_score_thr=args.score_thr, no_save_pred=False, **call
    )
    return f'drawn: {args.out_dir}/vis, boxes as JSON: {args.out_dir}/preds'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('inputs', help='image or folder')
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--out-dir', default='outputs')
    parser.add_argument('--device', help='cpu, cuda:0, ...')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--limit', type=int, help='at most so many images')
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
    args = parser.parse_args()
    if args.limit is not None and args.limit < 1:
        parser.error(f'--limit must be 1 or more, got {args.limit}')
    return args


def main() -> None:
    args = parse_args()
    ignore_foreign()
    try:
        cfg = load(args.config)
        images = list_pictures(args.inputs)
        images, broken = split_readable(images[: args.limit])
        if images:
            print(draw(args, cfg, images))
    except (OSError, ValueError, NotFittedError) as error:
        sys.exit(f'error: {error}')
    if broken:
        left_out = f'left out, cannot be read: {", ".join(broken)}'
        if not images:
            sys.exit(left_out)
        print(left_out, file=sys.stderr)


if __name__ == '__main__':
    main()
