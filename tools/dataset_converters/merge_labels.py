"""Make the next training set of unknown objects that people have named.

Takes what tools/mine_unknowns.py wrote in unknown.json after it was corrected,
by hand or in CVAT or Label Studio, and the set that the detector was trained
on. A box's category is then a new class, 'known: NAME', 'background' or still
'unknown'. Written is a COCO file with the images of both and, in its info,
the steps for projects/incremental_detection.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from coco_join import joined
from coco_json import (
    check,
    fail,
    load_coco,
    print_report,
    summary,
    write_json,
)
from corrected_labels import (
    SAME,
    by_image,
    corners,
    matched_images,
    named_boxes,
)
from label_names import group_names, meanings, new_classes

from mmood.config import read_config
from mmood.metrics.boxes import box_iou
from mmood.mining.results import BACKGROUND, UNKNOWN


def id_classes(mined: dict, base: dict) -> list[str]:
    """Those of the detector; the base must have them all."""
    classes = mined.get('info', {}).get('classes')
    if not classes:
        fail('--mined is no unknown.json of tools/mine_unknowns.py')
    there = {c['name'] for c in base['categories']}
    absent = [name for name in classes if name not in there]
    if absent:
        fail(f'--base has no category {", ".join(absent)} of the detector')
    return classes


def new_ids(records: Sequence[dict]) -> Iterator:
    """Ids that no record has; words where theirs are words."""
    ids = {record['id'] for record in records}
    words = any(isinstance(i, str) for i in ids)
    number = 0 if words else max(ids, default=0)
    while True:
        number += 1
        made = f'mined_{number}' if words else number
        if made not in ids:
            yield made


def merged(
    base: dict,
    boxes: Sequence[tuple[dict, dict, str]],
    folder: Path,
    root: Path,
    notes: Counter,
) -> dict:
    """The base with these boxes, of which each has the name of a class."""
    content = {k: list(base[k]) for k in ('images', 'annotations')}
    ids = {c['name']: c['id'] for c in base['categories']}
    fresh = {k: new_ids(base[k]) for k in (*content, 'categories')}
    for name in sorted({name for *_, name in boxes} - set(ids)):
        ids[name] = next(fresh['categories'])
    files = {
        os.path.realpath(root / i['file_name']): i for i in base['images']
    }
    before = by_image(base)
    for image, box, name in boxes:
        path = os.path.realpath(folder / image['file_name'])
        if path not in files:
            if not os.path.isfile(path):
                fail(f'there is no image {path}: give its folder, --images')
            relative = os.path.relpath(path, os.path.realpath(root))
            own = dict(image, id=next(fresh['images']))
            own['file_name'] = relative.replace(os.sep, '/')
            files[path] = own
            content['images'].append(own)
        own = files[path]
        same = [a for a in before[own['id']] if a['category_id'] == ids[name]]
        overlap = box_iou(corners([box]), corners(same))
        if overlap.max(initial=0) >= SAME:
            notes['boxes that the base has already'] += 1
            continue
        _, _, width, height = box['bbox']
        content['annotations'].append(
            dict(
                id=next(fresh['annotations']),
                image_id=own['id'],
                category_id=ids[name],
                bbox=box['bbox'],
                area=width * height,
                iscrowd=0,
            )
        )
    content['categories'] = [dict(id=i, name=n) for n, i in ids.items()]
    return content


def next_steps(base: dict, classes: list[str], new: list[str]) -> list:
    """Steps of the project: those before, and the new classes."""
    before = base.get('info', {}).get('steps') or [classes]
    return [*before, new]


def write_config(
    out: Path, config: str, root: str, steps: list, test: Path | None
) -> Path:
    """A config of the project for the merged set, beside it."""

    def place(path: str | Path, folder: str | Path) -> str:
        # Past links, which '..' does not lead back through.
        return os.path.relpath(
            os.path.realpath(path), os.path.realpath(folder)
        )

    path = out.with_suffix('.py')
    lines = [
        '# The next step, by tools/dataset_converters/merge_labels.py.',
        f'_base_ = [{place(config, path.parent)!r}]',
        f'incremental = dict(steps={steps!r})',
        f'train_ann = {place(out, root)!r}',
    ]
    if test:
        lines.append(f'val_ann = test_ann = {place(test, root)!r}')
    else:
        lines[0] += '\n# Its val_ann and test_ann need the new classes too.'
    path.write_text('\n'.join([*lines, '']), encoding='utf-8')
    return path


def write_test(out: Path, files: Sequence[str], names: list[str]) -> Path:
    """One set of several to test on, in which these classes may be."""
    content = joined([load_coco(file, '--test') for file in files], names)
    check(content)
    path = out.with_name(f'{out.stem}_test.json')
    write_json(content, path)
    print_report(summary(content), f'wrote {path}')
    return path


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add = parser.add_argument
    add('corrected', type=Path, help='COCO json')
    add('--base', required=True, help='COCO json that was trained on')
    add('--out', type=Path, required=True, help='COCO json to write')
    add(
        '--mined',
        type=Path,
        help='unknown.json before the correction; else that beside it',
    )
    add(
        '--image-root',
        type=Path,
        help="folder that --base's file names are relative to; else that of "
        '--config',
    )
    add('--images', type=Path, help='folder of the mined images, if moved')
    add(
        '--groups',
        nargs='+',
        default=[],
        metavar='GROUP=NAME',
        help='names of whole groups, for their boxes that are still unknown',
    )
    add(
        '--drop-unknown-images',
        action='store_true',
        help='leave out images with a box that is still unknown, which '
        'trains as background',
    )
    add('--config', help='of projects/incremental_detection, to go on from')
    add(
        '--test',
        nargs='+',
        default=[],
        metavar='JSON',
        help='with --config: sets to test the next step on, joined; one with '
        'objects of the new classes should be among them',
    )
    args = parser.parse_args(argv)
    args.data_root = ''
    if args.config:
        cfg = read_config(args.config)
        args.data_root = cfg.get('data_root', '')
        if not args.image_root:
            images = cfg.get('train_images', '')
            args.image_root = Path(args.data_root, images)
    if not args.image_root:
        parser.error('give --image-root, or --config which says it')
    args.mined = args.mined or args.corrected.with_name('unknown.json')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    corrected = load_coco(args.corrected, 'CORRECTED')
    mined = load_coco(args.mined, '--mined')
    base = load_coco(args.base, '--base')
    classes = id_classes(mined, base)
    images = matched_images(corrected, mined)
    groups = group_names(args.groups)
    boxes, notes = named_boxes(corrected, mined, images, groups)
    names = sorted({name for *_, name in boxes})
    meant = meanings(names, classes, [c['name'] for c in base['categories']])
    known = [n for step in next_steps(base, classes, []) for n in step]
    new = new_classes(meant, known)
    if not new:
        fail(
            'no box has the name of a new class, so there is no next step: '
            'name some in the corrected file, or by --groups'
        )
    boxes = [(image, box, meant[name]) for image, box, name in boxes]
    notes.update(f'boxes: {name}' for *_, name in boxes)
    unknown = {image['id'] for image, _, name in boxes if name == UNKNOWN}
    if args.drop_unknown_images:
        boxes = [one for one in boxes if one[0]['id'] not in unknown]
        notes['images left out, with a box still unknown'] = len(unknown)
    kept = [one for one in boxes if one[2] not in (UNKNOWN, BACKGROUND)]
    place = mined['info'].get('image_folder') or ''
    folder = args.images or args.mined.parent / place
    content = merged(base, kept, folder, args.image_root, notes)
    steps = next_steps(base, classes, new)
    keys = ('mmood', 'checkpoint', 'score', 'threshold', 'top')
    content['info'] = dict(
        base.get('info') or {},
        steps=steps,
        mined={key: mined['info'].get(key) for key in keys},
        named_groups=len(groups),
    )
    check(content)
    write_json(content, args.out)
    notes = {key: count for key, count in notes.items() if count}
    report = {**summary(content), 'notes': notes, 'steps': [str(steps)]}
    print_report(report, f'wrote {args.out}')
    if args.config:
        known = [name for step in steps for name in step]
        test = write_test(args.out, args.test, known) if args.test else None
        own = args.out, args.config, args.data_root
        path = write_config(*own, steps, test)
        print(f'the next step: projects/incremental_detection/run.py {path}')


if __name__ == '__main__':
    main()
