"""Outlier objects in images of a training.

Shapes: H x W pixels.
"""

from __future__ import annotations

import os.path as osp
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmood.generation.objects import ObjectSource
from mmood.generation.pasting import paste, random_corner, soft_edges
from mmood.registry import OBJECTS, TRANSFORMS

_LEAST = 8  # pixels of an object that are worth a label
_TRIES = 5


@TRANSFORMS.register_module()
class PasteOutliers(BaseTransform):
    """Paste objects into an image and label them ``outlier_label``.

    Behind what loads labels, crops and resizes, before what packs. The same
    image has the same objects in the same epoch, in whatever process it is
    loaded: all choices follow from ``seed``, the name of its file and the
    epoch, which `EpochSampler` and `InfiniteEpochSampler` tell. With another
    sampler the visits of an image are counted instead, by each process of a
    loader for itself, so that runs are alike only for one number of them.

    Pasted pixels are labelled whatever was there, ignored ones too: the
    object hides them. An object larger than the image is shrunk to fit; one
    of fewer than 8 pixels is drawn anew, 5 times at most.

    Adds ``pasted``: [name of the object, (x, y, w, h), pixels] of each.

    Args:
        source: config of a source of objects: ``mmood.CocoObjects``,
            ``mmood.FolderObjects`` or ``mmood.DrawnObjects``.
        prob: of an image to get any; published for RbA and Mask2Anomaly.
        count: least and most objects in such an image.
        area: least and most pixels of an object, as shares of the image's;
            None: as large as it is, as published. The size is uniform in the
            logarithm.
        feather: width of the soft edge, in pixels, as the sigma of a blur.
        match: how much of the way the brightness of objects goes to that of
            what they are put on, 0 to 1.
        ground: labels on which objects stand; (): anywhere, as published.
        outlier_label: which the label map must have room for.
        ignore_index: of the label map.
        seed: of two of these in one pipeline give each its own.

    Raises ValueError for arguments out of range, and for an image whose
    label map has no room for the outliers' label.
    """

    def __init__(
        self,
        source: dict,
        *,
        prob: float = 0.2,
        count: Sequence[int] = (1, 1),
        area: Sequence[float] | None = None,
        feather: float = 1.0,
        match: float = 0.0,
        ground: Sequence[int] = (),
        outlier_label: int = 254,
        ignore_index: int = 255,
        seed: int = 0,
    ) -> None:
        _check(prob, count, area, feather, match)
        if not 0 <= outlier_label <= 255 or outlier_label == ignore_index:
            raise ValueError(
                f'outlier_label={outlier_label} must be in 0..255, as labels '
                f'are, and not ignore_index={ignore_index}'
            )
        self.prob, self.count, self.area = prob, tuple(count), area
        self.feather, self.match = feather, match
        self.ground, self.seed = tuple(ground), seed
        self.outlier_label = outlier_label
        self.source: ObjectSource = OBJECTS.build(
            dict(source, _scope_='mmood')
        )
        self._visits: Counter[str] = Counter()
        text = f'outliers of label {outlier_label}: {self.source.report()}'
        print_log(text, logger='current')

    def transform(self, results: dict) -> dict:
        rng = self._rng(results)
        results.setdefault('pasted', [])
        _check_room(results, self.outlier_label)
        if rng.random() >= self.prob:
            return results
        image = results['img'] = results['img'].copy()
        labels = results['gt_seg_map'] = results['gt_seg_map'].copy()
        before = labels if not self.ground else labels.copy()
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            found = self._paste_one(rng, image, labels, before)
            if found is not None:
                results['pasted'].append(found)
        return results

    def _paste_one(
        self,
        rng: np.random.Generator,
        image: np.ndarray,
        labels: np.ndarray,
        before: np.ndarray,
    ) -> list | None:
        """What was pasted; None if all that were drawn are too small."""
        for _ in range(_TRIES):
            pixels = None
            if self.area is not None:
                low, high = np.log(self.area)
                pixels = labels.size * float(np.exp(rng.uniform(low, high)))
            cutout = self.source.draw(rng, pixels, labels.shape)
            cutout = soft_edges(cutout, self.feather)
            if np.count_nonzero(cutout.alpha >= 128) < _LEAST:
                continue
            size = cutout.alpha.shape
            corner = random_corner(rng, before, size, self.ground)
            number = paste(
                image,
                labels,
                cutout,
                corner,
                self.outlier_label,
                rng,
                match=self.match,
            )
            return [cutout.name, (*corner, *size[::-1]), number]
        return None

    def _rng(self, results: dict) -> np.random.Generator:
        """That of the image in this epoch."""
        name = osp.basename(str(results.get('img_path', '')))
        epoch = getattr(results.get('sample_idx'), 'epoch', None)
        if epoch is None:
            epoch = self._visits[name]
            self._visits[name] += 1
        key = zlib.crc32(name.encode())
        return np.random.default_rng([self.seed, key, epoch])

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({self.source.report()}, '
            f'prob={self.prob}, count={self.count}, area={self.area}, '
            f'outlier_label={self.outlier_label})'
        )


def _check(
    prob: float,
    count: Sequence[int],
    area: Sequence[float] | None,
    feather: float,
    match: float,
) -> None:
    if not 0 <= prob <= 1:
        raise ValueError(f'prob must be in [0, 1], got {prob}')
    if len(count) != 2 or not 1 <= count[0] <= count[1]:
        raise ValueError(
            f'count must be the least and the most objects, got {count}'
        )
    if area is not None and (
        len(area) != 2 or not 0 < area[0] <= area[1] <= 1
    ):
        raise ValueError(
            'area must be the least and the largest share of the image, in '
            f'(0, 1], or None, got {area}'
        )
    if feather < 0:
        raise ValueError(f'feather must not be negative, got {feather}')
    if not 0 <= match <= 1:
        raise ValueError(f'match must be in [0, 1], got {match}')


def _check_room(results: dict, label: int) -> None:
    """ValueError if the label map cannot tell the outliers apart."""
    for key in ('img', 'gt_seg_map'):
        if key not in results:
            raise ValueError(
                f'PasteOutliers finds no {key!r}: put it behind the '
                'transforms that load image and annotations'
            )
    image, labels = results['img'], results['gt_seg_map']
    if image.dtype != np.uint8 or image.shape != (*labels.shape, 3):
        raise ValueError(
            f'PasteOutliers wants an image (H, W, 3) uint8 and labels of its '
            f'size, got {image.shape} {image.dtype} and {labels.shape}: put '
            'it before what makes other numbers of pixels'
        )
    where = results.get('seg_map_path', 'the label map')
    if label > np.iinfo(labels.dtype).max:
        raise ValueError(
            f'{where} is of {labels.dtype}, which has no '
            f'outlier_label={label}: load it as uint8'
        )
    if results.get('num_classes', 0) > label:
        raise ValueError(
            f'outlier_label={label} is a class of the set, which has '
            f'{results["num_classes"]}: take a larger number'
        )
    if not results['pasted'] and (labels == label).any():
        raise ValueError(
            f'{where} has pixels of outlier_label={label} before anything is '
            'pasted: take a number that no pixel has'
        )
