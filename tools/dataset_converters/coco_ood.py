"""COCO json -> its out-of-distribution (OOD) images, for given ID classes.

An image is OOD when none of its annotations, crowds included, is of an
in-distribution (ID) class; images without any annotation count as OOD. This
is the rule of the VOS benchmark (Du et al., ICLR 2022), whose published sets
went through a further step by hand: ``--exclude`` is the place for one.
Names are compared through ``coco_json.ALIASES`` (VOC's aeroplane is COCO's
airplane, BDD100k's pedestrian and rider are COCO's person).
"""

from __future__ import annotations

import argparse
import collections
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from coco_json import (
    add_id_arguments,
    canonical,
    fail,
    id_classes,
    load_coco,
    print_report,
    read_list,
    summary,
    write_json,
)
from tqdm import tqdm


def find_images(coco: dict, entries: Iterable[str]) -> dict[str, object]:
    """Entry of a list -> id of its image, for the entries that have one.

    An entry is an image's id, its file name, or the last part of that with
    or without the suffix. Ends the tool if it may mean two images; a whole
    file name means its image even if it is the last part of another's.
    """
    exact = collections.defaultdict(dict)
    loose = collections.defaultdict(dict)
    for image in coco['images']:
        path = Path(image['file_name'])
        exact[image['file_name']][image['id']] = image
        for key in {path.name, path.stem}:
            loose[key][image['id']] = image
    ids = {str(image['id']): image for image in coco['images']}
    found: dict[str, object] = {}
    for entry in entries:
        meant = dict(exact.get(entry) or loose.get(entry) or {})
        if entry in ids:
            meant[ids[entry]['id']] = ids[entry]
        if len(meant) > 1:
            names = ' and '.join(
                f'{i["file_name"]} (id {i["id"]})' for i in meant.values()
            )
            fail(
                f'the entry {entry!r} may mean {names}; write the file name '
                'or the id that only one of them has'
            )
        if meant:
            found[entry] = next(iter(meant))
    return found


def match_categories(
    categories: Sequence[dict], id_names: Iterable[str]
) -> dict[str, set]:
    """ID class name -> ids of the categories which mean the same class."""
    same = collections.defaultdict(set)
    for category in categories:
        same[canonical(category['name'])].add(category['id'])
    return {name: set(same[canonical(name)]) for name in id_names}


def classes_per_image(coco: dict) -> dict:
    """Image id -> ids of the categories annotated in it."""
    present = collections.defaultdict(set)
    for annotation in tqdm(coco['annotations'], disable=None):
        present[annotation['image_id']].add(annotation['category_id'])
    return present


def drop_reason(
    image: dict,
    present: set,
    id_categories: set,
    excluded: set,
    drop_empty: bool,
) -> str | None:
    """Why an image is left out, or None to keep it."""
    if present & id_categories:
        return 'with an ID class'
    if not present and drop_empty:
        return 'without annotation'
    if image['id'] in excluded:
        return 'by --exclude'
    return None


def take_images(coco: dict, image_ids: set, category_ids: set) -> dict:
    """The part of ``coco`` with these images and categories, ids as before."""
    return {
        **coco,
        'images': [i for i in coco['images'] if i['id'] in image_ids],
        'annotations': [
            a for a in coco['annotations'] if a['image_id'] in image_ids
        ],
        'categories': [
            c for c in coco['categories'] if c['id'] in category_ids
        ],
    }


def split_ood(
    coco: dict,
    id_names: Sequence[str],
    exclude: Sequence[str] = (),
    drop_empty: bool = False,
) -> tuple[dict, dict]:
    """The OOD part of ``coco`` and the overlap report (counts of images)."""
    matched = match_categories(coco['categories'], id_names)
    id_categories = set().union(*matched.values())
    present = classes_per_image(coco)
    found = find_images(coco, exclude)
    excluded = set(found.values())
    kept, dropped = set(), collections.Counter()
    for image in coco['images']:
        classes = present.get(image['id'], set())
        reason = drop_reason(
            image, classes, id_categories, excluded, drop_empty
        )
        if reason is None:
            kept.add(image['id'])
        else:
            dropped[reason] += 1
    others = {c['id'] for c in coco['categories']} - id_categories
    report = {
        'images read': len(coco['images']),
        'images dropped': dict(dropped),
        'images dropped per ID class': {
            name: sum(bool(classes & ids) for classes in present.values())
            for name, ids in matched.items()
        },
        'ID classes not found': [n for n, ids in matched.items() if not ids],
        '--exclude entries not found': [e for e in exclude if e not in found],
    }
    ood = take_images(coco, kept, others)
    return ood, {**report, 'kept': summary(ood)}


def check_names(coco: dict, not_found: Sequence[str], total: int) -> None:
    """Warn about ID classes which ``coco`` does not have."""
    known = [category['name'] for category in coco['categories']]
    if len(not_found) == total:
        fail(
            'none of the ID classes is a category of the json, so nothing '
            f'would be left out; its categories: {", ".join(known)}'
        )
    for name in not_found:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f' (close: {", ".join(close)})' if close else ''
        print(
            f'WARNING: ID class {name!r} is no category of the json{hint}: a '
            'spelling mistake would leave its objects in the OOD set'
        )


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Keep the images of a COCO json which hold no object of '
        'an in-distribution class. The in-distribution classes are those of '
        '--id-json and --id-classes together.'
    )
    parser.add_argument('ann_file', help='COCO json to read')
    parser.add_argument('out', help='json to write')
    add_id_arguments(parser)
    parser.add_argument(
        '--drop-empty',
        action='store_true',
        help='leave out images without annotation (default: keep them, as '
        'the VOS benchmark does)',
    )
    parser.add_argument(
        '--exclude',
        metavar='FILE',
        help='text file with image ids or file names to leave out, one a line',
    )
    parser.add_argument(
        '--report', metavar='FILE', help='also write the report as json'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    names = id_classes(args)
    if not names:
        fail('no ID class given; use --id-classes NAME ... or --id-json FILE')
    exclude = read_list(args.exclude, '--exclude') if args.exclude else []
    coco = load_coco(args.ann_file, 'ann_file')
    ood, report = split_ood(coco, names, exclude, args.drop_empty)
    check_names(coco, report['ID classes not found'], len(names))
    if not ood['images']:
        fail(
            f'each of the {len(coco["images"])} images is left out '
            f'({report["images dropped"]}), so that no OOD set is there'
        )
    write_json(ood, args.out)
    if args.report:
        write_json(report, args.report)
    kept = report.pop('kept')
    print_report(report, f'wrote {args.out}')
    print_report(kept, 'kept')


if __name__ == '__main__':
    main()
