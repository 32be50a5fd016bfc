"""Segmentation sets that know what they are and refuse to be half there."""

from __future__ import annotations

import logging
import os.path as osp
import re
from collections.abc import Sequence

import numpy as np
from mmengine import fileio
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations

from mmood.ops import carry, check_class_names, check_set_name
from mmood.registry import DATASETS

from .file_pairs import left_out, named_paths, read_names
from .transforms import LoadOODAnnotations, label_table, read_label_ids


@DATASETS.register_module(name='IDSegDataset')
class OriginSegDataset(BaseSegDataset):
    """Mark each sample with ``origin``, the name of its set.

    As it is, ``mmood.IDSegDataset``: any ID set with classes of its own.
    The mark has to travel with the sample, because ``ConcatDataset`` keeps
    the metainfo of its first set only. The pipeline's packing transform is
    told to carry what ``carried`` lists.
    Raises FileNotFoundError or ValueError, with the path and the remedy, for
    a missing folder, a set without images, images without labels, classes
    that are no list of names or have one twice.
    """

    origin = 'id'
    carried: tuple[str, ...] = ('origin', 'source')
    # Keys of what must be there, and what errors call it.
    files: tuple[tuple[str, str], ...] = (
        ('img_path', 'image files'),
        ('seg_map_path', 'label files'),
    )

    def full_init(self) -> None:
        super().full_init()
        carry(self.pipeline.transforms, self.carried)

    def find_files(self) -> list[dict]:
        """Pairs of image and label file; where a set's layout is met.

        Suffixes may be in upper or lower case. Without ``ann_file``, files
        that are in no pair are logged.
        """
        images, labels = self.named_images(), self.named_labels()
        names = list(images)
        if self.ann_file and not osp.isdir(self.ann_file):
            names = read_names(self.ann_file, self.backend_args)
        else:
            self._log_left_out(images, labels)
        folder, label_folder = self._folders()
        return [
            self.pair(
                images.get(name, osp.join(folder, name + self.img_suffix)),
                labels.get(
                    name, osp.join(label_folder, name + self.seg_map_suffix)
                ),
            )
            for name in names
        ]

    def named_images(self) -> dict[str, str]:
        """Image files by their paths in the folder without the suffix."""
        return named_paths(
            self._folders()[0], self.img_suffix, self.backend_args
        )

    def named_labels(self) -> dict[str, str]:
        """Label files by their paths in the folder without the suffix."""
        return named_paths(
            self._folders()[1], self.seg_map_suffix, self.backend_args
        )

    def pair(self, image: str, label: str | None) -> dict:
        """What mmseg's transforms want to know of a pair, or of an image."""
        return dict(
            img_path=image,
            seg_map_path=label,
            label_map=self.label_map,
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
            num_classes=len(self._metainfo.get('classes') or ()),
        )

    def _folders(self) -> tuple[str, str]:
        prefix = self.data_prefix
        return prefix['img_path'], prefix.get('seg_map_path')

    def _log_left_out(self, images: dict, labels: dict) -> None:
        for what in left_out(
            images, labels, self._folders(), self.backend_args
        ):
            print_log(
                f'set {self.origin!r} leaves out {what}; see img_suffix '
                f'{self.img_suffix!r} and seg_map_suffix '
                f'{self.seg_map_suffix!r}',
                'current',
                logging.WARNING,
            )

    def load_data_list(self) -> list[dict]:
        self._check_sources()
        if self._metainfo.get('classes') is not None:
            check_class_names(self._metainfo['classes'])
        infos = self.find_files()
        if not infos:
            raise ValueError(
                f'set {self.origin!r}: no image {"*" + self.img_suffix!r} in '
                f'{self.data_prefix["img_path"]}; check img_suffix, '
                'data_prefix and ann_file'
            )
        for key, what in self.files:
            self._check_files(infos, key, what)
        source = f'{self.data_prefix["img_path"]} {self.ann_file}'.strip()
        for info in infos:
            info.update(origin=self.origin, source=source)
        return infos

    def _check_sources(self) -> None:
        ann_file = self.ann_file
        if ann_file and not osp.isfile(ann_file) and not osp.isdir(ann_file):
            raise FileNotFoundError(
                f'set {self.origin!r}: ann_file {ann_file} does not exist; '
                'check data_root and ann_file'
            )
        for key, _ in self.files:
            folder = self.data_prefix.get(key)
            if not folder or not fileio.isdir(folder, self.backend_args):
                raise FileNotFoundError(
                    f'set {self.origin!r}: there is no folder {folder!r}; '
                    f'check data_root and data_prefix[{key!r}]'
                )

    def _check_files(self, infos: list[dict], key: str, what: str) -> None:
        paths = [info[key] for info in infos]
        missing = [p for p in paths if not fileio.exists(p, self.backend_args)]
        if missing:
            raise FileNotFoundError(
                f'set {self.origin!r}: {len(missing)} of {len(paths)} {what} '
                f'do not exist, such as {", ".join(missing[:3])}; check '
                'data_prefix, img_suffix and seg_map_suffix'
            )


@DATASETS.register_module()
class OODSegDataset(OriginSegDataset):
    """Set with OOD pixels, under a name; labels 0 ID, 1 OOD, 255 ignore.

    To be loaded with ``mmood.LoadOODAnnotations``; the classes of the
    segmentor do not matter here. Each sample carries ``origin``, the name,
    and ``fold``, the group it was dealt to: leaving one of 10 folds out at a
    time is the resampling of 90 % of ADE-OoD's Appendix A.1.3 (Galesso et
    al., ECCV 2024).

    Args:
        name: a word without "/"; 'id' for the in-distribution validation
            set, which has no ``ood_ids``.
        ood_ids: ids of OOD pixels in the label files.
        ignore_ids: ids of pixels that are not judged.
        id_ids: ids of ID pixels, all others being ignored. None: whatever
            is not in ``ood_ids`` or ``ignore_ids`` is ID.
        num_folds: groups of equal size, up to one image.
        seed: of the dealing; the same files and seed give the same folds.
        name_pattern: regular expression; images whose file name does not
            match it from its start are left out.

    Raises, besides what the parent does, ValueError if no label file has an
    id of ``ood_ids``, if ids overlap, or if the pipeline has mmseg's
    ``LoadAnnotations``, which would keep the ids of the files.
    """

    METAINFO = dict(
        classes=('in-distribution', 'out-of-distribution'),
        palette=[[70, 130, 180], [220, 20, 60]],
    )
    carried = ('origin', 'source', 'fold')
    own_classes = True  # not those of the segmentor

    def __init__(
        self,
        *args,
        name: str,
        ood_ids: Sequence[int] = (1,),
        ignore_ids: Sequence[int] = (255,),
        id_ids: Sequence[int] | None = None,
        num_folds: int = 10,
        seed: int = 0,
        name_pattern: str = '',
        **kwargs,
    ) -> None:
        check_name(name, ood_ids)
        label_table(ood_ids, ignore_ids, id_ids)
        if num_folds < 1:
            raise ValueError(f'num_folds must be positive, got {num_folds}')
        self.origin = name
        self.label_ids = dict(
            ood_ids=tuple(ood_ids),
            ignore_ids=tuple(ignore_ids),
            id_ids=None if id_ids is None else tuple(id_ids),
        )
        self.num_folds, self.seed = num_folds, seed
        self.name_pattern = name_pattern
        super().__init__(*args, reduce_zero_label=False, **kwargs)

    def full_init(self) -> None:
        for transform in self.pipeline.transforms:
            if isinstance(transform, LoadAnnotations) and not isinstance(
                transform, LoadOODAnnotations
            ):
                raise ValueError(
                    f'set {self.origin!r}: LoadAnnotations would keep the '
                    'ids of the label files; use mmood.LoadOODAnnotations'
                )
        super().full_init()

    def load_data_list(self) -> list[dict]:
        infos = super().load_data_list()
        self._check_ood_ids([info['seg_map_path'] for info in infos])
        infos.sort(key=lambda info: info['img_path'])
        folds = deal_folds(len(infos), self.num_folds, self.seed)
        for info, fold in zip(infos, folds):
            info.update(self.label_ids, fold=int(fold))
        return infos

    def find_files(self) -> list[dict]:
        return [
            info
            for info in super().find_files()
            if re.match(self.name_pattern, osp.basename(info['img_path']))
        ]

    def _check_ood_ids(self, paths: list[str]) -> None:
        """Read label files up to the first with an OOD id."""
        wanted = self.label_ids['ood_ids']
        found: set[int] = set()
        for path in paths if wanted else ():
            labels = read_label_ids(path, self.backend_args)
            counts = np.bincount(labels.ravel(), minlength=256)
            found.update(np.flatnonzero(counts).tolist())
            if found.intersection(wanted or ()):
                return
        if wanted:
            raise ValueError(
                f'set {self.origin!r}: none of its {len(paths)} label files '
                f'has an id of ood_ids {_shorten(wanted)}; they have '
                f'{sorted(found)}. Set ood_ids to the ids of OOD pixels'
            )


class Preset:
    """A set with other defaults; all of them can still be given."""

    defaults: dict = {}

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **{**self.defaults, **kwargs})


def check_name(name: str, ood_ids: Sequence[int]) -> None:
    """Raise ValueError unless ``name`` can stand before a metric's name."""
    check_set_name(name)
    if name == OriginSegDataset.origin and len(ood_ids):
        raise ValueError(
            f'the set named "id" is in-distribution, but ood_ids is '
            f'{_shorten(ood_ids)}; set ood_ids=() or another name'
        )


def deal_folds(count: int, num_folds: int, seed: int = 0) -> np.ndarray:
    """Fold of each of ``count`` images, (count,) int in 0..num_folds - 1.

    Random, with group sizes that differ by one at most.
    """
    # The stream of RandomState, unlike default_rng's, is fixed for good.
    order = np.random.RandomState(seed).permutation(count)
    folds = np.empty(count, dtype=int)
    folds[order] = np.arange(count) % num_folds
    return folds


def _shorten(ids: Sequence[int]) -> str:
    ids = tuple(ids)
    return f'{ids}' if len(ids) <= 8 else f'{ids[0]}, ..., {ids[-1]}'
