"""BDD100k detection labels -> COCO json.

Reads both public forms: ``bdd100k_labels_images_{train,val}.json`` (2018) and
the Scalabel files ``det_{train,val}.json`` (2020), which are lists of frames
``{name, labels: [{category, box2d: {x1, y1, x2, y2}, attributes}]}``; an
object with a list ``frames`` is taken too. Boxes are corners in pixels, taken
as continuous coordinates. The class order is that of the VOS benchmark.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from coco_json import (
    CocoBuilder,
    existing_dir,
    fail,
    finish,
    load_json,
    number,
)
from tqdm import tqdm

from mmood.ops import image_size
from mmood.ops.coco_records import shorten

NoneType = type(None)

CLASSES = (
    'pedestrian',
    'rider',
    'car',
    'truck',
    'bus',
    'train',
    'motorcycle',
    'bicycle',
    'traffic light',
    'traffic sign',
)
# Names of the 2018 label files.
OLD_NAMES = {
    'person': 'pedestrian',
    'motor': 'motorcycle',
    'bike': 'bicycle',
}
IMAGE_SIZE = (1280, 720)


def load_frames(path: str | Path) -> list[dict]:
    """The frames of a label file of either form, their fields checked."""
    frames = load_json(path, 'labels')
    if isinstance(frames, dict):
        frames = frames.get('frames')
    if not isinstance(frames, list):
        fail(f'labels: {path} is neither a list of frames nor has one')
    for index, frame in enumerate(frames):
        problem = frame_problem(frame)
        if problem:
            fail(f'labels: {path}: frame {index} {problem}')
    return frames


def frame_problem(frame: object) -> str | None:
    """What makes a frame none: its name or one of its labels."""
    if not isinstance(frame, dict):
        return f'is {shorten(frame)}, not an object with name and labels'
    if 'name' not in frame:
        return 'has no name'
    if not isinstance(frame['name'], str):
        return f'has the name {shorten(frame["name"])}, not a file name'
    labels = frame.get('labels')
    if not isinstance(labels, (list, NoneType)):
        return f'({frame["name"]}): labels is {shorten(labels)}, not a list'
    wrong = [label for label in labels or () if not _is_label(label)]
    if wrong:
        return (
            f'({frame["name"]}) has the label {shorten(wrong[0])}; a label '
            'is {category: a word, box2d: {x1, y1, x2, y2}, attributes: {}}'
        )
    return None


def _is_label(label: object) -> bool:
    if not isinstance(label, dict):
        return False
    kinds = dict(category=str, box2d=dict, attributes=dict)
    return all(
        isinstance(label.get(key), (kind, NoneType))
        for key, kind in kinds.items()
    )


def _corners(box: dict, frame: str) -> tuple[float, ...]:
    missing = {'x1', 'y1', 'x2', 'y2'} - set(box)
    if missing:
        fail(
            f'labels: frame {frame}: box2d is {shorten(box)}, without '
            f'{min(missing)}'
        )
    where = f'labels: frame {frame}: box2d'
    return tuple(
        number(box[k], f'{where}.{k}') for k in ('x1', 'y1', 'x2', 'y2')
    )


def _size(name: str, image_root: Path | None) -> tuple[int, int]:
    if image_root is None:
        return IMAGE_SIZE
    try:
        return image_size(image_root / name)
    except (OSError, ValueError) as error:
        fail(
            f'--image-root: {error}; give the folder of this split, or leave '
            'the argument out'
        )


def add_label(
    builder: CocoBuilder, image: dict, label: dict, frame: str
) -> None:
    """Add the box of a label; count what is no box or no known class."""
    if not label.get('box2d'):
        builder.notes['labels without a box (lanes, areas)'] += 1
        return
    name = label.get('category')
    name = OLD_NAMES.get(name, name)
    if name not in CLASSES:
        builder.notes[f'boxes skipped: unknown category {name!r}'] += 1
        return
    crowd = (label.get('attributes') or {}).get('crowd') or False
    if crowd not in (True, False):
        fail(
            f'labels: frame {frame}: attributes.crowd is {shorten(crowd)}, '
            'not true or false'
        )
    corners = _corners(label['box2d'], frame)
    builder.add_box(image, name, corners, iscrowd=int(crowd))


def convert(
    frames: Sequence[dict], image_root: Path | None = None
) -> CocoBuilder:
    """Convert frames; every frame becomes an image, labelled or not.

    Without ``image_root`` every image is taken as 1280 x 720, BDD100k's size.
    """
    builder = CocoBuilder(CLASSES, 'BDD100k detection')
    for frame in tqdm(frames, desc='frames', disable=None):
        name = frame['name']
        image = builder.add_image(name, *_size(name, image_root))
        for label in frame.get('labels') or ():
            add_label(builder, image, label, name)
    return builder


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert BDD100k detection labels to COCO with the class '
        'order of the VOS benchmark. File names are relative to the folder '
        'of the split.'
    )
    parser.add_argument(
        'labels',
        help='label file of one split: bdd100k_labels_images_train.json or '
        'det_train.json',
    )
    parser.add_argument('out', help='json to write')
    parser.add_argument(
        '--image-root',
        metavar='DIR',
        help='read the size of each image from this folder instead of taking '
        '1280 x 720',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    root = args.image_root
    if root is not None:
        root = existing_dir(root, '--image-root')
    finish(convert(load_frames(args.labels), root), args.out)


if __name__ == '__main__':
    main()
