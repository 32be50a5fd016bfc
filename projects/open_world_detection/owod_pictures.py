"""Images with their objects, from COCO json, for `build_owod`."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from coco_json import canonical, fail


@dataclass(frozen=True)
class Picture:
    """An image and, of each object, its class, corners and iscrowd."""

    file_name: str
    width: int
    height: int
    objects: tuple[tuple[str, tuple[float, ...], int], ...]

    @property
    def names(self) -> set[str]:
        return {name for name, _, _ in self.objects}


def pictures_of(
    coco: dict,
    classes: Sequence[str],
    folder: str = '',
    crowd: str = 'keep',
    others: str = 'refuse',
) -> list[Picture]:
    """The images of a COCO json, file names in a folder.

    Names of classes are compared through ``coco_json.ALIASES``. ``crowd``:
    boxes around one are ordinary ones (``'keep'``), marked or left out;
    ``others``: objects of none of the classes end the tool (``'refuse'``),
    are left out (``'drop'``) or stay under their own name.
    """
    known = {canonical(name): name for name in classes}
    names = {c['id']: c['name'] for c in coco['categories']}
    meant = {i: known.get(canonical(n)) for i, n in names.items()}
    strange = Counter(
        names[a['category_id']]
        for a in coco['annotations']
        if meant[a['category_id']] is None
    )
    if strange and others == 'refuse':
        fail(
            f'objects of {", ".join(sorted(strange))} are in no task: add '
            'these classes to the steps, or set --others to drop or unknown'
        )
    objects = defaultdict(list)
    for one in coco['annotations']:
        name = meant[one['category_id']]
        if name is None:
            if others == 'drop':
                continue
            name = names[one['category_id']]
        is_crowd = int(bool(one.get('iscrowd')))
        if is_crowd and crowd == 'drop':
            continue
        x, y, width, height = one['bbox']
        corners = (x, y, x + width, y + height)
        mark = is_crowd if crowd == 'ignore' else 0
        objects[one['image_id']].append((name, corners, mark))
    return [
        Picture(
            f'{folder}/{image["file_name"]}'.lstrip('/'),
            image['width'],
            image['height'],
            tuple(objects[image['id']]),
        )
        for image in coco['images']
    ]


def showing(
    pictures: Sequence[Picture], classes: Sequence[str] | None
) -> list[Picture]:
    """Those with an object of the classes; None: of any."""
    if classes is None:
        return [picture for picture in pictures if picture.objects]
    wanted = set(classes)
    return [picture for picture in pictures if picture.names & wanted]


def draw_stored(
    pictures: Sequence[Picture],
    classes: Sequence[str],
    count: int,
    seed: int = 0,
) -> dict[str, Picture]:
    """So many pictures of each class, drawn by the seed, by file name.

    All of them where there are fewer. Crowds do not make an image one of
    their class.
    """
    ordered = sorted(pictures, key=lambda picture: picture.file_name)
    stored = {}
    for name in classes:
        mine = [
            picture
            for picture in ordered
            if any(n == name and not mark for n, _, mark in picture.objects)
        ]
        random.Random(f'{seed} {name}').shuffle(mine)
        stored.update({picture.file_name: picture for picture in mine[:count]})
    return stored
