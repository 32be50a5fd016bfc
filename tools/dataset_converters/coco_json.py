"""What the dataset tools share: COCO json, class names, reports.

A COCO box is ``[x, y, w, h]`` in pixels, 0-based and continuous: the first
pixel of an image covers [0, 1], so a box inside it satisfies ``x >= 0``,
``y >= 0``, ``x + w <= width``, ``y + h <= height``.
"""

from __future__ import annotations

import argparse
import collections
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mmood import ops
from mmood.ops import NotWrittenError, coco_problems, read_coco, read_json
from mmood.ops.coco import REFUSED
from mmood.ops.coco_records import FIELDS, record_problems, shorten

# One object class under the names of several sets; keys are lower case.
# `traffic sign` of BDD100k contains COCO's `stop sign`, and COCO has one
# `person` where BDD100k tells pedestrians from riders.
ALIASES = {
    'aeroplane': 'airplane',
    'bike': 'bicycle',
    'boy': 'person',
    'cattle': 'cow',
    'diningtable': 'dining table',
    'girl': 'person',
    'houseplant': 'potted plant',
    'kitchen & dining room table': 'dining table',
    'man': 'person',
    'motor': 'motorcycle',
    'motorbike': 'motorcycle',
    'pedestrian': 'person',
    'pottedplant': 'potted plant',
    'rider': 'person',
    'sofa': 'couch',
    'television': 'tv',
    'traffic sign': 'stop sign',
    'tvmonitor': 'tv',
    'woman': 'person',
}


def fail(message: str) -> NoReturn:
    """End the tool with one line on stderr and exit code 1."""
    raise SystemExit(f'error: {message}')


def canonical(name: str) -> str:
    """The name under which classes of different sets are compared."""
    name = ' '.join(name.lower().replace('_', ' ').split())
    return ALIASES.get(name, name)


def existing_file(path: str | Path, argument: str) -> Path:
    """``path`` as a ``Path``; ends the tool if it is not a file."""
    path = Path(path)
    if not os.path.isfile(path):
        fail(f'{argument}: no such file: {path}; check the path')
    return path


def existing_dir(path: str | Path, argument: str) -> Path:
    """``path`` as a ``Path``; ends the tool if it is not a folder."""
    path = Path(path)
    if not os.path.isdir(path):
        fail(f'{argument}: no such folder: {path}; check the path')
    return path


def read_text(path: str | Path, argument: str) -> str:
    """The text of a UTF-8 file; ends the tool if there is none."""
    try:
        return existing_file(path, argument).read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        fail(
            f'{argument}: {path} is not a readable text file ({error}); '
            'save it as UTF-8'
        )


def read_list(path: str | Path, argument: str) -> list[str]:
    """The entries of a text file, one a line; ``#`` starts a comment."""
    text = read_text(path, argument)
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def load_json(path: str | Path, argument: str) -> Any:
    """Parse a json file; ends the tool naming the file if it cannot."""
    return _read(read_json, path, argument)


def load_coco(path: str | Path, argument: str) -> dict:
    """A COCO file by `mmood.ops.read_coco`; ends the tool if it refuses."""
    return _read(read_coco, path, argument)


def _read(reader: Callable, path: str | Path, argument: str) -> Any:
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        fail(f'{argument}: {error}')


def number(value: object, where: str) -> float:
    """``value`` as a finite number; ends the tool if it is none."""
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        fail(f'{where} is {shorten(value)}, not a finite number')
    return result


def write_json(obj: Any, path: str | Path) -> None:
    """Write ``obj`` to ``path`` at once: a reader never sees half a file."""
    try:
        ops.write_json(path, obj)
    except NotWrittenError as error:
        fail(str(error))


def clip_box(
    corners: Sequence[float], width: float, height: float
) -> list[float] | None:
    """Corners ``x1, y1, x2, y2`` -> ``[x, y, w, h]`` inside the image.

    All in pixels, continuous, rounded to 0.001. None if nothing is left.
    """
    x1, x2 = (min(max(x, 0), width) for x in corners[0::2])
    y1, y2 = (min(max(y, 0), height) for y in corners[1::2])
    box = [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)]
    return box if box[2] > 0 and box[3] > 0 else None


class CocoBuilder:
    """Collects images and boxes; ids count from 1 in the order of adding.

    ``notes`` counts what a reader of the report should know.
    """

    def __init__(self, classes: Sequence[str], description: str) -> None:
        categories = [
            {'id': i, 'name': name} for i, name in enumerate(classes, 1)
        ]
        self.category_ids = {c['name']: c['id'] for c in categories}
        self._file_names: set[str] = set()
        self.notes: collections.Counter[str] = collections.Counter()
        self.coco: dict = {
            'info': {'description': description},
            'images': [],
            'annotations': [],
            'categories': categories,
        }

    def add_image(self, file_name: str, width: int, height: int) -> dict:
        """Add an image; ends the tool if it is there or cannot be one."""
        image = {
            'id': len(self.coco['images']) + 1,
            'file_name': file_name,
            'width': width,
            'height': height,
        }
        for problem in record_problems('an image', image, FIELDS['images']):
            fail(problem.text)
        if file_name in self._file_names:
            fail(
                f'{file_name} is annotated twice, so that each time the other '
                "annotation's objects are missing; remove one of them"
            )
        self._file_names.add(file_name)
        self.coco['images'].append(image)
        return image

    def add_box(
        self,
        image: dict,
        name: str,
        corners: Sequence[float],
        *,
        iscrowd: int = 0,
        **fields: Any,
    ) -> None:
        """Add ``x1, y1, x2, y2``, clipped to the image; skip an empty box."""
        box = clip_box(corners, image['width'], image['height'])
        if box is None:
            self.notes['boxes skipped: empty or outside the image'] += 1
            return
        x, y, width, height = box
        moved = zip(corners, (x, y, x + width, y + height))
        if any(abs(before - after) > 1 for before, after in moved):
            self.notes['boxes cut at the border of the image'] += 1
        if width < 1 or height < 1:
            self.notes['boxes of less than a pixel, which trainings skip'] += 1
        annotation = {
            'id': len(self.coco['annotations']) + 1,
            'image_id': image['id'],
            'category_id': self.category_ids[name],
            'bbox': box,
            'area': round(box[2] * box[3], 3),
            'iscrowd': iscrowd,
            **fields,
        }
        self.coco['annotations'].append(annotation)


def summary(coco: dict) -> dict:
    """Counts of images, boxes, unannotated images and boxes per class."""
    boxes = collections.Counter(a['category_id'] for a in coco['annotations'])
    annotated = {a['image_id'] for a in coco['annotations']}
    return {
        'images': len(coco['images']),
        'boxes': len(coco['annotations']),
        'images without annotation': sum(
            image['id'] not in annotated for image in coco['images']
        ),
        'boxes per class': {
            c['name']: boxes[c['id']] for c in coco['categories']
        },
    }


def print_report(report: dict, title: str) -> None:
    """Print a report of counts, lists of names and counts per name."""
    print(title)
    for key, value in report.items():
        if isinstance(value, dict) and value:
            print(f'  {key}:')
            for name, count in value.items():
                print(f'    {name}: {count}')
        elif isinstance(value, (dict, list)):
            print(f'  {key}: {", ".join(value) or "none"}')
        else:
            print(f'  {key}: {value}')


def check(coco: dict) -> None:
    """End the tool if the datasets would refuse a json of this content."""
    for problem in coco_problems(coco):
        if problem.kind in (*REFUSED, 'no_images'):
            fail(f'no json is written: {problem.text}')


def finish(builder: CocoBuilder, out: str | Path) -> dict:
    """Write the json, print the report and return the report."""
    check(builder.coco)
    write_json(builder.coco, out)
    report = {**summary(builder.coco), 'notes': dict(builder.notes)}
    print_report(report, f'wrote {out}')
    return report


def add_id_arguments(parser: argparse.ArgumentParser) -> None:
    """The two ways to name the in-distribution classes; they add up."""
    parser.add_argument(
        '--id-classes',
        nargs='+',
        default=[],
        metavar='NAME',
        help='in-distribution class names; quote a name with a space',
    )
    parser.add_argument(
        '--id-json',
        metavar='FILE',
        help='COCO json whose category names are in-distribution classes',
    )


def id_classes(args: argparse.Namespace) -> list[str]:
    """Names of ``--id-json`` then of ``--id-classes``, without repeats."""
    names = []
    if args.id_json:
        coco = load_coco(args.id_json, '--id-json')
        names = [category['name'] for category in coco['categories']]
    return list(dict.fromkeys([*names, *args.id_classes]))
