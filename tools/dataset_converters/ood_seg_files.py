"""Files of a segmentation set that ``build_ood_seg_set.py`` reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from coco_json import fail, read_list

from mmood.ops import list_files
from mmood.ops.images import files_by_name


def find_files(args: argparse.Namespace) -> dict[str, tuple[Path, Path]]:
    """Name, without suffix, -> image and label file, in order of names."""
    suffix, label_suffix = args.img_suffix, args.seg_map_suffix
    try:
        images, labels = (
            files_by_name(list_files(folder, ending), folder, ending)
            for folder, ending in (
                (args.images, suffix),
                (args.labels, label_suffix),
            )
        )
    except (OSError, ValueError) as error:
        fail(f'{error}')
    if not images:
        fail(f'images: no *{suffix} in {args.images}; --img-suffix?')
    missing = [name for name in images if name not in labels]
    if missing:
        fail(
            f'labels: {len(missing)} of {len(images)} images have no label '
            f'file, such as {args.labels / (missing[0] + label_suffix)}; '
            '--seg-map-suffix?'
        )
    return {n: (Path(images[n]), Path(labels[n])) for n in sorted(images)}


def read_names(path: str, argument: str, suffix: str) -> set[str]:
    """Names of a list, in which they may stand with their suffix."""
    ending = suffix.lower()
    return {
        n[: -len(suffix)] if n.lower().endswith(ending) else n
        for n in read_list(path, argument)
    }
