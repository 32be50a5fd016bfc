"""Images of a COCO file by the classes that are in them."""

from __future__ import annotations

from collections.abc import Collection

from mmood.ops.coco_records import shorten


def choose_images(
    content: dict,
    with_any: Collection[str] = (),
    without: Collection[str] = (),
) -> set:
    """Ids of images with one of some classes and with none of others.

    () for ``with_any`` asks for nothing. Classes are categories of the file
    by name; a crowd also is an object. Raises ValueError for one that the
    file does not have, and for a text in the place of a list.
    """
    names = {c['id']: c['name'] for c in content['categories']}
    for key, given in (('with_any', with_any), ('without', without)):
        absent = [name for name in given if name not in names.values()]
        if isinstance(given, str) or absent:
            raise ValueError(
                f'{key} must be a list of categories of the file, got '
                f'{shorten(given)}; it has {shorten(sorted(names.values()))}'
            )
    found: dict = {image['id']: set() for image in content['images']}
    for annotation in content['annotations']:
        found[annotation['image_id']].add(names[annotation['category_id']])
    return {
        image
        for image, present in found.items()
        if present.isdisjoint(without)
        and not (with_any and present.isdisjoint(with_any))
    }
