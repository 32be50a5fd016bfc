"""The tasks of open-world detection from COCO, or COCO and VOC, as json.

A config with a section ``incremental`` names the classes that each task adds.
Written are, of every task t counted from 1 and in the folder OUT:

- ``t<t>_train.json``: images that show its classes, with objects of these;
- ``t<t>_ft.json``, from the second on: stored images, so many of each class
  seen so far, drawn from those that the class was learned from, with the
  objects of all classes seen;
- ``t<t>_test.json``: all test images, with the objects of classes seen;
  those of later tasks are of the category ``unknown`` and have their own
  name as ``class``;

and ``leak.json``, the stored images of all classes with all objects.

With ``--voc`` the first task is learned from VOC 2007 and 2012 trainval, and
tests are on VOC 2007 test and the COCO images that show a later class; without
it all is COCO's, and tests are on all its annotated images. That are M-OWODB
(Joseph et al., CVPR 2021) and S-OWODB (Gupta et al., CVPR 2022).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parents[2] / 'tools/dataset_converters')
)

import voc
from coco_json import (
    CocoBuilder,
    check,
    fail,
    load_coco,
    print_report,
    write_json,
)
from owod_counts import compare
from owod_pictures import Picture, draw_stored, pictures_of, showing

from mmood.config import ConfigError, read_config
from mmood.det.datasets.class_splits import split_steps

HERE = Path(__file__).resolve().parent
PROTOCOLS = {
    name: HERE / f'configs/finetune_faster-rcnn_r50-c4_{name}.py'
    for name in ('m-owodb', 's-owodb')
}
UNKNOWN = 'unknown'


def write(
    path: Path,
    pictures: Sequence[Picture],
    classes: Sequence[str],
    kept: Sequence[str],
    rest: bool = False,
) -> dict:
    """Write pictures with the objects of the classes ``kept``.

    The categories are all ``classes`` and `UNKNOWN`, of which objects of
    other classes are with ``rest``; without it they are left out. Returned
    are the numbers of images and boxes.
    """
    builder = CocoBuilder([*classes, UNKNOWN], f'open world, {path.stem}')
    for picture in pictures:
        image = builder.add_image(
            picture.file_name, picture.width, picture.height
        )
        for name, corners, crowd in picture.objects:
            if name in kept:
                builder.add_box(image, name, corners, iscrowd=crowd)
            elif rest:
                more = {'iscrowd': crowd, 'class': name}
                builder.add_box(image, UNKNOWN, corners, **more)
    if not pictures:
        fail(
            f'{path.name} would have no image: the given files do not show '
            f'{", ".join(kept)}'
        )
    check(builder.coco)
    write_json(builder.coco, path)
    boxes = builder.coco['annotations']
    unknown = builder.category_ids[UNKNOWN]
    return dict(
        images=len(pictures),
        boxes=len(boxes),
        unknown=sum(box['category_id'] == unknown for box in boxes),
    )


def build(
    steps: Sequence[Sequence[str]],
    train: Sequence[Sequence[Picture]],
    test: Sequence[Picture],
    out: Path,
    stored: int,
    seed: int,
) -> dict[str, dict]:
    """Write all files of the steps; numbers by the file's name.

    ``train`` are each step's pictures, ``stored`` so many of each class.
    """
    classes = [name for step in steps for name in step]
    store: dict[str, Picture] = {}
    counts = {}
    for number, (step, pictures) in enumerate(zip(steps, train), 1):
        seen = [name for one in steps[:number] for name in one]
        store.update(draw_stored(pictures, step, stored, seed))
        parts = {
            'train': (pictures, step, False),
            'ft': (list(store.values()), seen, False),
            'test': (test, seen, True),
        }
        if number == 1 or not stored:
            del parts['ft']
        for kind, (chosen, kept, rest) in parts.items():
            name = f't{number}_{kind}'
            path = out / f'{name}.json'
            counts[name] = write(path, chosen, classes, kept, rest)
    if stored:
        counts['leak'] = write(
            out / 'leak.json', list(store.values()), classes, classes, True
        )
    return counts


def section_of(protocol: str) -> tuple[list[list[str]], int]:
    """Classes of each task, and stored images a class, of a config."""
    path = PROTOCOLS.get(protocol, protocol)
    try:
        cfg = read_config(path, import_custom_modules=False)
        section = cfg.get('incremental') or {}
        steps = split_steps(section.get('steps') or [])
    except (ConfigError, OSError, ValueError) as error:
        fail(f'protocol: {path}: {error}')
    if UNKNOWN in sum(steps, []):
        fail(f'protocol: a class cannot be called {UNKNOWN!r}')
    return steps, section.get('exemplars', 0)


def read_voc(devkit: str, splits: Sequence[str], difficult: str) -> dict:
    """A devkit's xml as COCO json."""
    arguments = [devkit, '-', '--difficult', difficult]
    for split in splits:
        arguments += ['--split', split]
    return voc.convert(voc.parse_args(arguments)).coco


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Make the tasks of open-world detection, of each a json '
        'to train on, to fine-tune on and to test on.'
    )
    add = parser.add_argument
    add('protocol', help=f'{", ".join(PROTOCOLS)}, or a config of your own')
    add('out', type=Path, help='folder to write to')
    add('--coco-train', required=True, help='instances_train2017.json')
    add('--coco-val', required=True, help='instances_val2017.json')
    add('--voc', metavar='DEVKIT', help='folder of VOC2007 and VOC2012')
    add('--voc-train', metavar='JSON', help='in the place of --voc')
    add('--voc-test', metavar='JSON', help='in the place of --voc')
    text = 'image folders of the two COCO jsons and of VOC, before file names'
    folders = ['coco/train2017', 'coco/val2017', 'VOCdevkit']
    add('--folders', nargs=3, default=folders, help=text)
    text = 'boxes around a crowd: ordinary ones, as in the published sets'
    text += ' (default); ignore marks them iscrowd=1; drop leaves them out'
    add(
        '--crowd',
        choices=('keep', 'ignore', 'drop'),
        default='keep',
        help=text,
    )
    text = 'objects of classes that no task has: an error (default), left out,'
    text += ' or unknown objects of the tests'
    choices = ('refuse', 'drop', UNKNOWN)
    add('--others', choices=choices, default='refuse', help=text)
    add('--seed', type=int, default=0, help='of the stored images')
    text = 'exit with 1 if a number of images is not the published one'
    add('--check', action='store_true', help=text)
    args = parser.parse_args(argv)
    has_voc = bool(args.voc or args.voc_train)
    if bool(args.voc_train) != bool(args.voc_test) or (
        args.voc and args.voc_train
    ):
        parser.error('give --voc, or both --voc-train and --voc-test')
    if args.protocol in PROTOCOLS and has_voc != (args.protocol == 'm-owodb'):
        parser.error('m-owodb needs VOC, and s-owodb is of COCO alone')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    steps, stored = section_of(args.protocol)
    classes = [name for step in steps for name in step]
    sources = dict(
        coco_train=load_coco(args.coco_train, '--coco-train'),
        coco_test=load_coco(args.coco_val, '--coco-val'),
    )
    if args.voc:
        splits = ['2007:trainval', '2012:trainval']
        sources['voc_train'] = read_voc(args.voc, splits, 'keep')
        sources['voc_test'] = read_voc(args.voc, ['2007:test'], 'ignore')
    elif args.voc_train:
        sources['voc_train'] = load_coco(args.voc_train, '--voc-train')
        sources['voc_test'] = load_coco(args.voc_test, '--voc-test')
    folders = dict(zip(('coco_train', 'coco_test', 'voc'), args.folders))
    pictures = {}
    for name, coco in sources.items():
        folder = folders.get(name, folders['voc'])
        crowd = args.crowd if name.startswith('coco') else 'ignore'
        pictures[name] = pictures_of(coco, classes, folder, crowd, args.others)
    first = pictures.get('voc_train', pictures['coco_train'])
    later = sum(steps[1:], []) if 'voc_test' in pictures else None
    train = [
        showing(pictures['coco_train'] if number else first, step)
        for number, step in enumerate(steps)
    ]
    test = pictures.get('voc_test', [])
    test = [*test, *showing(pictures['coco_test'], later)]
    counts = build(steps, train, test, args.out, stored, args.seed)
    print_report(counts, f'wrote {args.out}')
    read = {name: len(coco['images']) for name, coco in sources.items()}
    notes, problems = compare(args.protocol, counts, read)
    for note in [*notes, *(f'WARNING: {problem}' for problem in problems)]:
        print(note)
    if args.check and problems:
        fail('; '.join(problems))


if __name__ == '__main__':
    main()
