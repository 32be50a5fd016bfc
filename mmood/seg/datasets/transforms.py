"""Loading of labels that say in-distribution (ID), OOD or ignore."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from mmengine import fileio
from mmseg.datasets.transforms import LoadAnnotations

from mmood.ops import read_labels
from mmood.ops.images import any_size
from mmood.registry import TRANSFORMS

ID, OOD, IGNORE = 0, 1, 255


def read_label_ids(path: str, backend_args: dict | None = None) -> np.ndarray:
    """Ids of a label file, (H, W) uint8; those of a palette PNG its indices.

    Raises ValueError naming the file and the remedy if it is no readable
    picture, holds no ids (`mmood.ops.read_labels`), or a number outside
    0..255.
    """
    content = fileio.get(path, backend_args=backend_args)
    try:
        labels = read_labels(io.BytesIO(content), path)
    except OSError as error:
        raise ValueError(f'{error}; make or fetch it again') from error
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 255:
        raise ValueError(
            f'{path} holds labels from {low} to {high}; ids must be in '
            '0..255, renumber them'
        )
    return labels.astype(np.uint8)


def label_table(
    ood_ids: Sequence[int],
    ignore_ids: Sequence[int],
    id_ids: Sequence[int] | None = None,
) -> np.ndarray:
    """Lookup table from ids to ID (0), OOD (1) and ignore (255), (256,) uint8.

    Ids in none of the three are ID where ``id_ids`` is None, else ignored.
    Raises ValueError for an id outside 0..255 or with two meanings.
    """
    table = np.full(256, ID if id_ids is None else IGNORE, np.uint8)
    meanings: dict[int, str] = {}
    groups = (
        ('id_ids', id_ids or (), ID),
        ('ood_ids', ood_ids, OOD),
        ('ignore_ids', ignore_ids, IGNORE),
    )
    for name, ids, meaning in groups:
        for i in ids:
            if not 0 <= i <= 255:
                raise ValueError(f'{name} must be in 0..255, got {i}')
            if meanings.setdefault(i, name) != name:
                raise ValueError(
                    f'id {i} is in {meanings[i]} and in {name}; remove it '
                    'from one of them'
                )
            table[i] = meaning
    return table


def read_of_image(results: dict, backend_args: dict | None) -> np.ndarray:
    """`read_label_ids` of a sample; ValueError unless as large as its image.

    The image is as it was loaded, turned by EXIF.
    """
    path = results['seg_map_path']
    labels = read_label_ids(path, backend_args)
    size = tuple(results.get('ori_shape', labels.shape)[:2])
    if labels.shape != size:
        raise ValueError(
            f'{path} has {labels.shape} pixels (H, W) and its image '
            f'{size}; they must be equal'
        )
    return labels


@TRANSFORMS.register_module()
class LoadIDAnnotations(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` of what it reads right; the rest is refused.

    It would cut ids to eight bits, fractions to whole numbers, and take
    labels of another size than the image's, unseen.
    Raises ValueError, with the file and the remedy, as ``read_of_image``, and
    in an ``IDSegDataset`` for an id without a class that is not 255.
    """

    def _load_seg_map(self, results: dict) -> None:
        labels = read_of_image(results, self.backend_args)
        with any_size():
            super()._load_seg_map(results)
        if results['gt_seg_map'].size != labels.size:
            raise ValueError(
                f'{results["seg_map_path"]} is a palette picture, of which '
                f'imdecode_backend {self.imdecode_backend!r} gives colours, '
                "not ids; use 'pillow'"
            )
        # The parent drops the axis of a single row or column.
        results['gt_seg_map'] = results['gt_seg_map'].reshape(labels.shape)
        _check_classes(results)


def _check_classes(results: dict) -> None:
    """ValueError if a pixel's class is beyond those of the set."""
    count = results.get('num_classes')
    if not count:
        return
    labels = results['gt_seg_map']
    beyond = labels[(labels >= count) & (labels != IGNORE)]
    if len(beyond):
        raise ValueError(
            f'{results["seg_map_path"]} has pixels of class {beyond.max()}, '
            f'and the set has {count} classes, 0 to {count - 1}, and '
            f'{IGNORE} for what is ignored; check classes, reduce_zero_label '
            'and the ids of the file'
        )


@TRANSFORMS.register_module()
class LoadOODAnnotations(LoadAnnotations):
    """mmseg's ``LoadAnnotations``, with labels 0 ID, 1 OOD and 255 ignore.

    The sample of an ``OODSegDataset`` says which ids of the file mean what.
    Writes ``gt_seg_map`` (H, W) uint8. It replaces the parent's loading,
    which cuts ids to eight bits unseen, and decodes by Pillow, whatever
    ``imdecode_backend`` is: others give a palette's colours for its ids.
    Raises ValueError as ``read_of_image`` does.
    """

    def _load_seg_map(self, results: dict) -> None:
        path = results['seg_map_path']
        if 'ood_ids' not in results:
            raise ValueError(
                f'LoadOODAnnotations got {path} from a dataset that does not '
                'say which ids are OOD; load an OODSegDataset with it, other '
                'sets with LoadIDAnnotations'
            )
        labels = read_of_image(results, self.backend_args)
        keys = ('ood_ids', 'ignore_ids', 'id_ids')
        table = label_table(*(results[key] for key in keys))
        results['gt_seg_map'] = table[labels]
        results['seg_fields'].append('gt_seg_map')
