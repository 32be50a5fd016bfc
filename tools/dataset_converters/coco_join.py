"""Several COCO sets as one."""

from __future__ import annotations

from collections.abc import Sequence

from coco_json import fail


def joined(parts: Sequence[dict], names: Sequence[str] = ()) -> dict:
    """The images and objects of all parts, with ids from 1.

    Categories are told by their names; those of ``names`` are there even if
    no part has them. Ends the tool for a file name that is in two parts: in
    each the other's objects would be missing.
    """
    categories: dict[str, int] = {}
    for name in (*names, *(c['name'] for p in parts for c in p['categories'])):
        categories.setdefault(name, len(categories) + 1)
    images: dict[str, dict] = {}
    annotations: list[dict] = []
    for part in parts:
        own = {c['id']: categories[c['name']] for c in part['categories']}
        ids = {}
        for image in part['images']:
            name = image['file_name']
            if name in images:
                fail(f'{name} is in two of the sets to join: take one out')
            ids[image['id']] = len(images) + 1
            images[name] = dict(image, id=ids[image['id']])
        for one in part['annotations']:
            place = dict(
                id=len(annotations) + 1,
                image_id=ids[one['image_id']],
                category_id=own[one['category_id']],
            )
            annotations.append({**one, **place})
    return dict(
        images=list(images.values()),
        annotations=annotations,
        categories=[dict(id=i, name=n) for n, i in categories.items()],
    )
