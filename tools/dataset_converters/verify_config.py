"""Check every COCO set of a detector's config before it is trained or tested.

Of each json that the config reads, with the folder of its images, what
`verify.py` finds: its errors (exit code 1) and its warnings. Objects of a
class that the detector learns are an error in each set of unknown objects,
unless the set leaves their images out itself (``without``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from coco_json import load_json, print_report, write_json
from verify import ERRORS, WARNINGS, print_findings, verify

from mmood.launch import OptionsAction, clear_errors
from mmood.recipe import load

LOADERS = ('train_dataloader', 'fit_dataloader', 'val_dataloader')
LOADERS += ('test_dataloader',)
OUR_ERRORS = {
    'missing_files': 'annotation files that are not there',
    'missing_folders': 'image folders that are not there',
    **ERRORS,
}


class CocoSet(NamedTuple):
    """A json, the folder of its images, and what must not be in it."""

    name: str
    ann_file: Path
    image_root: Path
    barred: tuple[str, ...]


def leaves(dataset: Mapping) -> Iterator[Mapping]:
    """Configs of the sets that are in a wrapper, or in one of many."""
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner == [None]:
        yield dataset
        return
    for part in inner:
        yield from leaves(part)


def coco_sets(cfg: Mapping) -> list[CocoSet]:
    """Those of all loaders, each once; ``cfg`` is resolved."""
    found, parts = {}, []
    for name in LOADERS:
        loader = cfg.get(name) or {}
        if loader.get('dataset'):
            parts += [p for p in leaves(loader.dataset) if p.get('ann_file')]
    known = [c for p in parts if not is_ood(p) for c in classes_of(p)]
    for part in parts:
        root = Path(part.get('data_root') or '')
        images = (part.get('data_prefix') or {}).get('img') or ''
        barred = is_ood(part) and not part.get('without')
        one = CocoSet(
            part.get('name', 'id'),
            root / part.ann_file,
            root / images,
            tuple(dict.fromkeys(known)) if barred else (),
        )
        found[one] = one
    return list(found)


def is_ood(part: Mapping) -> bool:
    return part.type.split('.')[-1] == 'OODCocoDataset'


def classes_of(part: Mapping) -> Sequence[str]:
    return (part.get('metainfo') or {}).get('classes') or ()


def check(one: CocoSet, read: bool) -> dict:
    """What `verify` returns, also for files that are not there."""
    for kind, path, is_there in (
        ('missing_files', one.ann_file, one.ann_file.is_file()),
        ('missing_folders', one.image_root, one.image_root.is_dir()),
    ):
        if not is_there:
            return dict(errors={kind: [str(path)]}, warnings={}, counts={})
    content = load_json(one.ann_file, 'ann_file')
    return verify(content, one.image_root, one.barred, read=read)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Check the sets of a config; the exit code is 1 if one '
        'has errors.'
    )
    parser.add_argument('config', help='config of a detector')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='overrides, such as fmiyc_root=/data/fmiyc/',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='NAME',
        help="names of the sets to check, 'id' for those of known objects",
    )
    parser.add_argument(
        '--read',
        action='store_true',
        help='decode every image instead of reading its header only',
    )
    parser.add_argument(
        '--report', metavar='FILE', help='also write all findings as json'
    )
    return parser.parse_args(argv)


@clear_errors()
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    sets = coco_sets(load(args.config, args.cfg_options))
    names = list(dict.fromkeys(one.name for one in sets))
    unknown = set(args.only or ()) - set(names)
    if unknown or not sets:
        raise SystemExit(
            f'error: {args.config} has no sets {sorted(unknown)}; its sets '
            f'in the format of COCO are {names}'
        )
    results = {}
    for one in sets:
        if args.only and one.name not in args.only:
            continue
        result = check(one, args.read)
        results[f'{one.name}: {one.ann_file}'] = result
        print_report(result['counts'], f'{one.name}: {one.ann_file}')
        print_findings('warnings', result['warnings'], WARNINGS)
        print_findings('errors', result['errors'], OUR_ERRORS)
    if args.report:
        write_json(results, args.report)
    wrong = [name for name, one in results.items() if one['errors']]
    print(f'{len(wrong)} of {len(results)} sets have errors', *wrong, sep='\n')
    return int(bool(wrong))


if __name__ == '__main__':
    raise SystemExit(main())
