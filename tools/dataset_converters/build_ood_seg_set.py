"""Segmentation set -> OOD set like ADE-OoD: what has no label is OOD.

After Sec. 3 and Appendix A.1 of Galesso et al., "Diffusion for
Out-of-Distribution Detection on Road Scenes and Beyond", ECCV 2024: images
with large unlabelled regions are selected, their masks cleaned of points and
holes, unfit ones discarded by hand (look at OUT/review/index.html and run
again with ``--reject``). The paper states neither thresholds nor radii.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from coco_json import existing_dir, fail, print_report, write_json
from ood_seg_files import find_files, read_names
from ood_seg_masks import (
    contact_sheets,
    describe,
    preview,
    refine,
    rejection,
    review_page,
    statistics,
)
from PIL import Image, ImageOps
from tqdm import tqdm

from mmood.ops import atomic_write, read_labels
from mmood.ops.images import open_image

SOURCES = ('images', 'labels', 'img_suffix', 'seg_map_suffix')
MASKS = ('unlabelled_ids', 'ignore_ids', 'opening', 'closing', 'dilation')


class Builder:
    """The files of a set; ``records.jsonl`` lets a later run go on."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, args.out
        self.files = find_files(args)
        self.names = list(self.files)
        self.image_suffix = os.path.splitext('x' + args.img_suffix)[1]
        settings = {key: vars(args)[key] for key in (*SOURCES, *MASKS)}
        settings.update(images=str(args.images), labels=str(args.labels))
        self.journal = self.out / 'records.jsonl'
        self.records = self._resume(settings)
        lines = [json.dumps(r) for r in [settings, *self.records.values()]]
        with atomic_write(self.journal) as file:
            file.write('\n'.join(lines) + '\n')

    def _resume(self, settings: dict) -> dict[str, dict]:
        found = []
        if self.journal.is_file():
            for line in self.journal.read_text().splitlines():
                try:
                    found.append(json.loads(line))
                except ValueError:  # the line at which a run was stopped
                    break
        elif any((self.out / f).exists() for f in ('images', 'annotations')):
            fail(f'--out: {self.out} has files of others; take a new folder')
        if found and found[0] == settings:
            return {record['name']: record for record in found[1:]}
        for name in self.names:
            self.remove(name)
        return {}

    def outputs(self, name: str) -> list[Path]:
        """Mask, preview and image, in the order of writing."""
        return [
            self.out / 'annotations' / f'{name}_mask.png',
            self.out / 'review' / 'previews' / f'{name}.jpg',
            self.out / 'images' / f'{name}{self.image_suffix}',
        ]

    def remove(self, name: str) -> None:
        for path in reversed(self.outputs(name)):
            path.unlink(missing_ok=True)

    def load(self, name: str) -> tuple[Image.Image, np.ndarray, np.ndarray]:
        """Picture, labels (H, W) and mask (H, W).

        Raises OSError if one of the files is not readable.
        """
        path, label = self.files[name]
        with open_image(path) as image:
            picture = ImageOps.exif_transpose(image).convert('RGB')
        try:
            labels = read_labels(label)
        except ValueError as error:
            fail(f'labels: {error}')
        settings = {key: vars(self.args)[key] for key in MASKS}
        return picture, labels, refine(labels, **settings)

    def record(self, name: str) -> dict:
        """The description of an image, from the last run if it is there."""
        if name not in self.records:
            try:
                picture, labels, mask = self.load(name)
            except OSError:
                record = dict(problem='image or label not readable')
            else:
                record = describe(labels, mask)
                if picture.size != labels.shape[::-1]:
                    record = dict(problem='image and label differ in size')
            self.records[name] = dict(name=name, **record)
            with self.journal.open('a') as file:
                file.write(json.dumps(self.records[name]) + '\n')
        return self.records[name]

    def write(self, name: str) -> None:
        paths = self.outputs(name)
        if all(path.is_file() for path in paths):
            return
        picture, _, mask = self.load(name)
        with atomic_write(paths[0], 'wb') as file:
            Image.fromarray(mask).save(file, 'PNG')
        with atomic_write(paths[1], 'wb') as file:
            preview(picture, mask).save(file, 'JPEG')
        with atomic_write(paths[2], 'wb') as file:
            file.write(Path(self.files[name][0]).read_bytes())

    def reason(self, name: str) -> str | None:
        """Why an image is left out, or None."""
        args = self.args
        if args.reject is not None and name in args.reject:
            return 'by --reject'
        if args.accept is not None and name not in args.accept:
            return 'not in --accept'
        return rejection(self.record(name), args.min_share, args.min_region)

    def run(self) -> tuple[list[dict], dict[str, int]]:
        """Write the taken images, remove the others; descriptions, counts."""
        taken: list[dict] = []
        rejected: collections.Counter[str] = collections.Counter()
        for name in tqdm(self.names, desc='images', disable=None):
            if len(taken) == self.args.limit:
                break
            reason = self.reason(name)
            if reason is None:
                self.write(name)
                taken.append(self.record(name))
            else:
                rejected[reason] += 1
        for name in set(self.names) - {record['name'] for record in taken}:
            self.remove(name)
        return taken, dict(rejected)

    def write_review(self, taken: Sequence[dict]) -> None:
        folder = self.out / 'review'
        for sheet in folder.glob('sheet_*.png'):
            sheet.unlink()
        names = [record['name'] for record in taken]
        paths = [self.outputs(name)[1] for name in names]
        for i, sheet in enumerate(contact_sheets(names, paths), start=1):
            with atomic_write(folder / f'sheet_{i:03d}.png', 'wb') as file:
                sheet.save(file, 'PNG')
        with atomic_write(folder / 'index.html') as file:
            file.write(review_page(taken))


def explain_nothing(builder: Builder, rejected: dict[str, int]) -> None:
    """End the tool with what was found instead of a fitting image."""
    known = [r for r in builder.records.values() if r.get('regions')]
    found = 'no image has an OOD region: --unlabelled-ids?'
    if known:
        shares = [r['share'] for r in known]
        largest = [r['regions'][0] for r in known]
        found = (
            f'OOD shares go from {min(shares):.4f} to {max(shares):.4f}, '
            f'largest regions from {min(largest)} to {max(largest)} pixels; '
            'lower --min-share or --min-region'
        )
    fail(f'no image is left ({rejected}); {found}')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Build an OOD segmentation set whose OOD pixels are the '
        'unlabelled regions of a labelled set.'
    )
    add = parser.add_argument
    add('images', type=Path, help='folder of images, with subfolders')
    add('labels', type=Path, help='folder of label files of the same names')
    add('--out', type=Path, required=True, help='folder to write')
    add('--img-suffix', default='.jpg')
    add('--seg-map-suffix', default='.png')
    add('--unlabelled-ids', type=int, nargs='+', required=True, metavar='ID',
        help='ids of unlabelled pixels; ADE20k: 0')  # fmt: skip
    add('--ignore-ids', type=int, nargs='+', default=[], metavar='ID',
        help='ids neither ID nor OOD; VOC: 255')  # fmt: skip
    add('--min-share', type=float, default=0.05, help='least OOD share of an '
        'image, 0..1 (default: %(default)s)')  # fmt: skip
    add('--min-region', type=int, default=2000, help='least pixels of the '
        'largest OOD region (default: %(default)s)')  # fmt: skip
    for name, what in (
        ('opening', 'removes unlabelled specks and strips up to twice this'),
        ('closing', 'fills holes in OOD regions up to twice this'),
        ('dilation', 'ID pixels so close to OOD ones are ignored'),
    ):
        text = f'{what}; pixels (default: %(default)s)'
        add(f'--{name}', type=int, default=3, metavar='RADIUS', help=text)
    add('--limit', type=int, help='take at most so many images')
    add('--reject', metavar='FILE', help='names to leave out, one a line')
    add('--accept', metavar='FILE', help='names to take from, one a line')
    args = parser.parse_args(argv)
    if not 0 <= args.min_share <= 1:
        parser.error(f'--min-share must be in 0..1, got {args.min_share}')
    for name in ('min_region', 'opening', 'closing', 'dilation'):
        if vars(args)[name] < 0:
            option = name.replace('_', '-')
            parser.error(f'--{option} is negative: {vars(args)[name]}')
    if args.limit is not None and args.limit < 1:
        parser.error(f'--limit must be positive, got {args.limit}')
    both = set(args.unlabelled_ids) & set(args.ignore_ids)
    if both:
        parser.error(f'--unlabelled-ids and --ignore-ids share {both}')
    return args


def check_folders(args: argparse.Namespace) -> None:
    """Resolve the folders; OUT must not touch a source, as it is cleaned."""
    args.out = args.out.resolve()
    for key in ('images', 'labels'):
        folder = existing_dir(vars(args)[key], key).resolve()
        setattr(args, key, folder)
        if args.out in (folder, *folder.parents) or folder in args.out.parents:
            fail(f'--out: {args.out} and {folder} overlap; take a new folder')


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    check_folders(args)
    for key in ('reject', 'accept'):
        if vars(args)[key] is not None:
            names = read_names(vars(args)[key], f'--{key}', args.img_suffix)
            setattr(args, key, names)
    builder = Builder(args)
    listed = {*(args.reject or ()), *(args.accept or ())}
    unknown = sorted(listed - set(builder.names))
    if unknown:
        print(f'WARNING: names of no image: {", ".join(unknown)}')
    taken, rejected = builder.run()
    if not taken:
        explain_nothing(builder, rejected)
    builder.write_review(taken)
    report = {**statistics(taken), 'images rejected': rejected}
    write_json(report, args.out / 'statistics.json')
    print_report(report, f'wrote {args.out}')
    suffix = builder.image_suffix
    option = '' if suffix == '.jpg' else f', img_suffix={suffix!r}'
    print(
        f'look at {args.out / "review" / "index.html"}; in a config: '
        f"dict(type='mmood.ADEOoDDataset', data_root='{args.out}'{option})"
    )


if __name__ == '__main__':
    main()
