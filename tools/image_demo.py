"""Draw known and unknown boxes, or OOD score maps, on images."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config

import mmood.registry  # noqa: F401  (`mmood::` configs)

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}


def list_images(path: Path, limit: int | None) -> list[str]:
    """The image, or the images of a folder in order of their names."""
    if not path.exists():
        raise SystemExit(f'{path} does not exist')
    if path.is_file():
        return [str(path)]
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not images:
        raise SystemExit(f'{path} has no image ({", ".join(SUFFIXES)})')
    return [str(p) for p in images[:limit]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('inputs', type=Path, help='image or folder')
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
    common = dict(
        weights=args.checkpoint,
        device=args.device,
        ood_threshold=args.ood_threshold,
    )
    images = list_images(args.inputs, args.limit)
    if Config.fromfile(args.config).default_scope == 'mmseg':
        from mmood.seg import OODSegInferencer

        inferencer = OODSegInferencer(
            args.config, score_range=args.score_range, **common
        )
        inferencer(images, batch_size=args.batch_size, out_dir=args.out_dir)
        print(f'drawn: {args.out_dir}/vis, scores: {args.out_dir}/pred')
        return
    from mmood.det import OODDetInferencer

    inferencer = OODDetInferencer(args.config, **common)
    inferencer(
        images,
        batch_size=args.batch_size,
        pred_score_thr=args.score_thr,
        out_dir=args.out_dir,
        no_save_pred=False,
    )
    print(f'drawn: {args.out_dir}/vis, boxes as JSON: {args.out_dir}/preds')


if __name__ == '__main__':
    main()
