"""Cut the objects of a COCO file out of their images, to paste elsewhere.

Of a folder that ``generate.py`` wrote the painted ones, otherwise all. Writes
a PNG with an alpha channel for each, as ``mmood.FolderObjects`` reads them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmood.generation.cutting import cut_objects
from mmood.ops import NotWrittenError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('ann_file', type=Path, help='COCO file with boxes')
    parser.add_argument(
        '--img-root', type=Path, help='of the images; the folder of ann_file'
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the objects'
    )
    parser.add_argument(
        '--min-side', type=int, default=24, help='of a box, in pixels'
    )
    parser.add_argument(
        '--exclude', nargs='+', default=(), help='known classes, left out'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        found = cut_objects(
            args.ann_file,
            args.img_root or args.ann_file.parent,
            args.out,
            args.min_side,
            args.exclude,
        )
    except (OSError, ValueError, NotWrittenError) as error:
        raise SystemExit(f'error: {error}') from error
    print(', '.join(f'{count} {what}' for what, count in found.items()))
    if not found['written']:
        raise SystemExit(f'error: no object of {args.ann_file} was cut out')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
