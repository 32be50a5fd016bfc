"""Make the Shapes data: an ID set in three parts and two OOD test sets.

Writes ``OUT/<part>/{images,instances,semantic}/*.png`` and
``OUT/annotations/<part>.json`` (COCO). A semantic mask holds the category
id of each pixel, 0 for the background; an instance mask the position, from
1, of the annotation in its image. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmood.generation import FAR, ID, NEAR, render_scene
from mmood.ops import write_json

PARTS = dict(
    train=(ID, 1200), val=(ID, 150), test=(ID, 200),
    near=(NEAR, 150), far=(FAR, 150),
)  # fmt: skip
CATEGORIES = {name: i for i, name in enumerate([*ID, *NEAR, *FAR], start=1)}


def make_part(out: Path, part: str, count: int, size: int, seed: int) -> dict:
    """Write the pictures of one part and return its COCO dictionary."""
    outlines = PARTS[part][0]
    folders = [out / part / f for f in ('images', 'instances', 'semantic')]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in tqdm(range(count), desc=part, unit='image'):
        # A scene depends on seed, part and index alone, not on the counts.
        key = [seed, list(PARTS).index(part), i]
        scene = render_scene(np.random.default_rng(key), outlines, size)
        ids = np.array([0] + [CATEGORIES[n] for n in scene.names], np.uint8)
        pictures = (scene.image, scene.instances, ids[scene.instances])
        for folder, picture in zip(folders, pictures):
            _write_png(folder / f'{part}_{i:05d}.png', picture)
        images.append(
            dict(
                id=i + 1,
                file_name=f'{part}/images/{part}_{i:05d}.png',
                width=size,
                height=size,
            )
        )
        for number, name in enumerate(scene.names, start=1):
            box = _box(scene.instances == number)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i + 1,
                    category_id=CATEGORIES[name],
                    bbox=box,
                    area=int((scene.instances == number).sum()),
                    iscrowd=0,
                )
            )
    categories = [dict(id=CATEGORIES[n], name=n) for n in outlines]
    return dict(images=images, annotations=annotations, categories=categories)


def _box(mask: np.ndarray) -> list[int]:
    """COCO box (x, y, width, height) of a mask."""
    y, x = np.nonzero(mask)
    return [
        int(x.min()),
        int(y.min()),
        int(x.max() - x.min() + 1),
        int(y.max() - y.min() + 1),
    ]


def _write_png(path: Path, picture: np.ndarray) -> None:
    ok, data = cv2.imencode('.png', picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise OSError(f'cannot encode {path}')
    path.write_bytes(data.tobytes())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('data/shapes'))
    parser.add_argument('--size', type=int, default=96, help='pixels')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--scale',
        type=float,
        default=1.0,
        help='share of the usual number of images of each part',
    )
    parser.add_argument(
        '--parts', nargs='+', choices=list(PARTS), default=list(PARTS)
    )
    args = parser.parse_args(argv)
    if args.scale <= 0:
        parser.error(f'--scale must be positive, got {args.scale}')
    folder = args.out / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    for part in dict.fromkeys(args.parts):
        count = max(1, round(PARTS[part][1] * args.scale))
        coco = make_part(args.out, part, count, args.size, args.seed)
        write_json(folder / f'{part}.json', coco)
        print(
            f'{part}: {count} images, {len(coco["annotations"])} objects of '
            f'{len(coco["categories"])} classes'
        )


if __name__ == '__main__':
    main()
