"""Objects cut out of COCO images by their masks.

Shapes: images (H, W, 3) uint8 BGR, masks (H, W) uint8.
"""

from __future__ import annotations

import os
import os.path as osp
from collections import Counter
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from mmengine import fileio

from mmood.ops import read_coco
from mmood.registry import OBJECTS

from .coco_masks import Outlines, is_outline
from .objects import (
    Cutout,
    CutoutCache,
    ObjectSource,
    Room,
    fitting_scale,
    scaled,
)

# Why an object is left out, in the order of what is looked at.
CROWD = 'crowds'
ID_CLASS = 'of a known class'
NO_MASK = 'without a mask'
SMALL = 'smaller than min_area'
CUT = 'cut by the edge of their image'
WITH_KNOWN = 'in an image with known classes'
_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@OBJECTS.register_module()
class CocoObjects(ObjectSource):
    """The objects of a COCO file of instances that are of no known class.

    Only places and outlines are kept, as numbers; a picture is read when an
    object of it is drawn, at half or a quarter of its size where that is
    enough. Each object is as likely as any other.

    Args:
        ann_file: with polygons or RLE masks.
        img_prefix: folder of the images.
        id_classes: names of the known classes. Capital letters, ``_`` and
            ``-`` make no difference.
        exclude: names of categories to leave out besides, that are or hold
            a known class by another name, as COCO's ``stop sign``.
        overlap: of categories with the name of a known class: ``'refuse'``
            to build, or ``'drop'`` them.
        pure_images: whether to leave out all of an image in which one of
            those is annotated, as published. Only with ``'drop'``.
        whole: whether to leave out objects that the edge of their image
            cuts off.
        min_area: of an object's mask, in pixels.
        max_images: use so many images at most, chosen by ``seed``.
        cache_bytes: of decoded objects that are kept, in each process.

    Raises ValueError for known classes that ``overlap`` refuses, with their
    names, and if no object is left, with the reasons.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike,
        img_prefix: str | os.PathLike,
        id_classes: Sequence[str],
        *,
        exclude: Sequence[str] = (),
        overlap: str = 'refuse',
        pure_images: bool = True,
        whole: bool = True,
        min_area: float = 256,
        max_images: int | None = None,
        seed: int = 0,
        cache_bytes: int = 2**26,
        backend_args: dict | None = None,
    ) -> None:
        if overlap not in ('refuse', 'drop'):
            raise ValueError(
                f"overlap must be 'refuse' or 'drop', got {overlap!r}"
            )
        if isinstance(id_classes, str) or not id_classes:
            raise ValueError(
                'id_classes must be a list of the names of the known '
                f'classes, got {id_classes!r}'
            )
        self.ann_file, self.img_prefix = str(ann_file), str(img_prefix)
        self.backend_args = backend_args
        coco = read_coco(ann_file)
        known = known_categories(coco['categories'], id_classes, exclude)
        self.known = sorted(known.values())
        same = {plain_name(name) for name in id_classes}
        found = [n for n in self.known if plain_name(n) in same]
        if found and overlap == 'refuse':
            raise ValueError(
                f'{ann_file} has categories of the names of known classes: '
                f"{found}; set overlap='drop' to leave them out, and name in "
                'exclude those that go by another name'
            )
        self.left_out: Counter[str] = Counter()
        kept = self._kept(coco, known, whole, min_area, pure_images)
        kept = _of_some_images(kept, max_images, seed)
        if not kept:
            raise ValueError(
                f'{ann_file} has no object to paste: of '
                f'{len(coco["annotations"])} there are {self._reasons()}'
            )
        self._index(coco, kept)
        self._cache = CutoutCache(cache_bytes)

    def _kept(
        self,
        coco: Mapping,
        known: Mapping,
        whole: bool,
        min_area: float,
        pure_images: bool,
    ) -> list[dict]:
        """The annotations to use; counts the others."""
        images = {image['id']: image for image in coco['images']}
        impure = {
            one['image_id']
            for one in coco['annotations']
            if pure_images and one['category_id'] in known
        }
        kept = []
        for one in coco['annotations']:
            image, mask = images[one['image_id']], one.get('segmentation')
            reasons = {
                ID_CLASS: one['category_id'] in known,
                CROWD: bool(one['iscrowd']),
                WITH_KNOWN: one['image_id'] in impure,
                NO_MASK: not is_outline(mask),
                SMALL: one['area'] < min_area,
                CUT: whole and _is_cut(one['bbox'], image),
            }
            why = next((text for text, holds in reasons.items() if holds), '')
            if why:
                self.left_out[why] += 1
            else:
                kept.append(one)
        return kept

    def _index(self, coco: Mapping, kept: Sequence[dict]) -> None:
        """Keep what is needed of the annotations, in few large arrays."""
        ids = sorted({one['image_id'] for one in kept}, key=str)
        images = {image['id']: image for image in coco['images']}
        place = {i: n for n, i in enumerate(ids)}
        names = {c['id']: c['name'] for c in coco['categories']}
        self.files = [images[i]['file_name'] for i in ids]
        self.sizes = np.array(
            [(images[i]['height'], images[i]['width']) for i in ids], np.int32
        )
        self.names = sorted({names[one['category_id']] for one in kept})
        number = {name: n for n, name in enumerate(self.names)}
        self.image_of = np.array(
            [place[o['image_id']] for o in kept], np.int32
        )
        self.class_of = np.array(
            [number[names[o['category_id']]] for o in kept], np.int32
        )
        self.areas = np.array([o['area'] for o in kept], np.float32)
        self.boxes = np.array([o['bbox'] for o in kept], np.float32)
        self.outlines = Outlines(one['segmentation'] for one in kept)

    def __len__(self) -> int:
        return len(self.image_of)

    def draw(
        self, rng: np.random.Generator, area: float | None, room: Room
    ) -> Cutout:
        i = int(rng.integers(len(self)))
        size = tuple(self.boxes[i, :1:-1])
        scale = fitting_scale(size, self.areas[i], area, room)
        # A quarter more than needed, so that shrinking still averages.
        less = next((n for n in (8, 4, 2) if scale * n * 1.25 <= 1), 1)
        cutout = self._cache.get((i, less), lambda: self._cut(i, less))
        shape = cutout.alpha.shape
        return scaled(cutout, fitting_scale(shape, cutout.area, area, room))

    def report(self) -> str:
        counts = np.bincount(self.class_of, minlength=len(self.names))
        order = np.argsort(-counts, kind='stable')
        classes = ', '.join(f'{self.names[i]} {counts[i]}' for i in order)
        known = ', '.join(self.known) or 'none'
        return (
            f'{len(self)} objects of {len(self.files)} images of '
            f'{self.ann_file}: {classes}. Categories left out as known: '
            f'{known}. Objects left out: {self._reasons()}'
        )

    def _reasons(self) -> str:
        listed = [f'{n} {text}' for text, n in self.left_out.most_common()]
        return ', '.join(listed) or 'none'

    def _cut(self, i: int, less: int) -> Cutout:
        """Object i out of its image, with sides of 1 / ``less``."""
        n = int(self.image_of[i])
        image = self._read(n, less)
        height, width = image.shape[:2]
        scale = width / self.sizes[n, 1], height / self.sizes[n, 0]
        x, y, w, h = self.boxes[i].tolist()
        box = (
            max(0, int(x * scale[0])),
            max(0, int(y * scale[1])),
            min(width, int(np.ceil((x + w) * scale[0]))),
            min(height, int(np.ceil((y + h) * scale[1]))),
        )
        mask = self.outlines.mask(i, box, scale)
        crop = image[box[1] : box[3], box[0] : box[2]].copy()
        return Cutout(crop, mask, self.names[self.class_of[i]])

    def _read(self, n: int, less: int) -> np.ndarray:
        """Image n with sides of 1 / ``less``, rounded up or down."""
        path = osp.join(self.img_prefix, self.files[n])
        content = fileio.get(path, backend_args=self.backend_args)
        flag = _REDUCED.get(less, cv2.IMREAD_COLOR)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        if image is None:
            raise ValueError(f'{path} is no readable image')
        given, found = self.sizes[n], np.array(image.shape[:2])
        if (np.abs(found - given / less) >= 1).any():
            raise ValueError(
                f'{path} has {found * less} pixels (H, W) and '
                f'{self.ann_file} says {given}: the images are not those of '
                'the annotations'
            )
        return image


def plain_name(name: str) -> str:
    """A name by which categories of two sets are compared."""
    return ' '.join(name.lower().replace('_', ' ').replace('-', ' ').split())


def known_categories(
    categories: Sequence[Mapping],
    id_classes: Sequence[str],
    exclude: Sequence[str] = (),
) -> dict:
    """Names of the categories that are known, or excluded, by their id.

    Raises ValueError for an excluded name that no category has.
    """
    there = {plain_name(category['name']) for category in categories}
    lost = [name for name in exclude if plain_name(name) not in there]
    if lost:
        raise ValueError(
            f'exclude has {lost}, which are no categories of the file; '
            f'there are {sorted(there)}'
        )
    known = {plain_name(name) for name in (*id_classes, *exclude)}
    return {
        category['id']: category['name']
        for category in categories
        if plain_name(category['name']) in known
    }


def _is_cut(box: Sequence[float], image: Mapping) -> bool:
    """Whether a box reaches the edge of its image."""
    x, y, w, h = box
    return (
        min(x, y) < 1
        or x + w > image['width'] - 1
        or y + h > image['height'] - 1
    )


def _of_some_images(
    kept: list[dict], max_images: int | None, seed: int
) -> list[dict]:
    ids = sorted({one['image_id'] for one in kept}, key=str)
    if max_images is None or len(ids) <= max_images:
        return kept
    rng = np.random.default_rng(seed)
    chosen = {ids[i] for i in rng.permutation(len(ids))[:max_images]}
    return [one for one in kept if one['image_id'] in chosen]
