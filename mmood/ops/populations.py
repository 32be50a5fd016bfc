"""Checks of the named sets of images that are measured apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

ID = 'id'  # the name of the in-distribution set
_NAME = re.compile(r'(?![. ])[^/\\:*?"<>|\x00-\x1f\x7f]+(?<![. ])')


def check_set_name(name: object, is_ood: bool = False) -> None:
    """Raise ValueError unless a set can be called so.

    The name stands before those of measures and is part of file names. One
    of an OOD set may not look like ``id``.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            'name of a set must be a word without any of /\\:*?"<>| and '
            f'without a dot or space at its ends, got {name!r}'
        )
    if name.casefold() == ID and (is_ood or name != ID):
        raise ValueError(
            f'name of an OOD set cannot be {name!r}, which is that of '
            'in-distribution sets; give it another name'
        )


def check_class_names(classes: Any) -> list[str]:
    """The names of ``metainfo.classes``.

    Raises ValueError if they are no list of names, or one is there twice.
    """
    is_list = isinstance(classes, Sequence) and not isinstance(classes, str)
    names = list(classes) if is_list else []
    if not is_list or not all(isinstance(name, str) for name in names):
        raise ValueError(
            'metainfo.classes must be a list of class names (a single one '
            f"with a comma, ('cat',)), got {classes!r}"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f'metainfo.classes names {twice} more than once; name every '
            'class once'
        )
    return names


def stated_origin(sample: Mapping, image: object) -> str:
    """The name of the set that the sample of an image says it is of.

    Raises ValueError if it does not: it may be ID or OOD.
    """
    if 'origin' not in sample:
        raise ValueError(
            f'the image {image!r} does not say which set it is of, so that '
            "it may be ID or OOD: test on mmood's datasets, such as "
            'mmood.IDCocoDataset, mmood.OODCocoDataset, mmood.OODSegDataset'
        )
    return sample['origin']


def carry(transforms: Iterable[object], keys: Iterable[str]) -> None:
    """Have the packing ones among a pipeline's transforms hand these on."""
    for transform in transforms:
        if hasattr(transform, 'meta_keys'):
            known = transform.meta_keys
            missing = [key for key in keys if key not in known]
            transform.meta_keys = (*known, *missing)


def check_populations(
    images: Iterable[tuple[str, object, Hashable]],
) -> None:
    """Check what was measured: name of the set, its source, the image's id.

    Sources and ids may be None, for unknown. Raises ValueError if two sets
    share a name, also but for upper and lower case, or if a set has an image
    twice.
    """
    sources: dict[str, tuple[str, object]] = {}
    seen = set()
    for name, source, image in images:
        check_set_name(name)
        key = name.casefold()
        other, place = sources.setdefault(key, (name, source))
        if (other, place) != (name, source):
            raise ValueError(
                f'the set {name!r} of {source} and the set {other!r} of '
                f'{place} share a name: their images would be mixed. Give '
                'each set its own name and put ID images into one file'
            )
        if image is not None and (key, image) in seen:
            raise ValueError(
                f'the image {image!r} is there twice in the set {name!r}: '
                'two sets share this name, or ids are not unique. Give each '
                'set its own name, or put both into one file with new ids'
            )
        seen.add((key, image))
