"""COCO datasets that name their set and refuse files that do not fit.

Labels go by name: label i is the i-th of ``metainfo.classes``, in every file.
The stock set numbers them in the order of the file, which is another one in
VOC's and in COCO's, so that two files would not agree on what label 3 is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.logging import MMLogger

from mmood.ops import carry, check_class_names, check_set_name
from mmood.ops.coco_records import box_problem, shorten
from mmood.registry import DATASETS

from .coco_api import CheckedCOCO
from .image_choice import choose_images


@DATASETS.register_module()
class OriginCocoDataset(CocoDataset):
    """Set in COCO format that marks its samples and counts what it drops.

    Each sample carries ``origin``, the name of its set, with ``ann_file``
    and ``classes``, because ``ConcatDataset`` keeps the metainfo of its
    first set only; the pipeline's packing transform is told to carry these,
    and the annotated boxes, to the metric.

    Args:
        name: 'id' for in-distribution images, any other word for others.
        others: what becomes of objects of categories that are not in
            ``metainfo.classes``: ``'refuse'`` the file, ``'drop'`` them, or
            ``'label'`` them K, the number of classes, in a test set.
        kept: classes whose objects are kept; None: all of them.
        missing_ok: permits classes that the file does not have.
        with_any, without: names of categories of the file. Images without
            an object of the first, or with one of the second, are left out;
            crowds and objects that are dropped count too.

    Objects and images that are left out are counted in one line of the log.
    Raises FileNotFoundError or ValueError with the file and the remedy.
    """

    def __init__(
        self,
        *args,
        name: str = 'id',
        others: str = 'refuse',
        kept: Collection[str] | None = None,
        missing_ok: bool = False,
        with_any: Collection[str] = (),
        without: Collection[str] = (),
        **kwargs,
    ) -> None:
        check_set_name(name)
        if others not in ('refuse', 'drop', 'label'):
            raise ValueError(
                f"others must be 'refuse', 'drop' or 'label', got {others!r}"
            )
        self.origin, self.others = name, others
        self.kept, self.missing_ok = kept, missing_ok
        self._choice = with_any, without
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        super().full_init()
        carry(self.pipeline.transforms, ('instances', *self._marks()))

    def get_data_info(self, idx: int) -> dict:
        return {**super().get_data_info(idx), **self._marks()}

    def prepare_data(self, idx: int) -> Any:
        sample = super().prepare_data(idx)
        self._check_size(idx, sample)
        return sample

    def _check_size(self, idx: int, sample: Any) -> None:
        """Raise ValueError if a picture is not as large as the file says.

        Boxes would lie elsewhere, as where one side turned it by its EXIF
        and the other did not.
        """
        packed = (sample or {}).get('data_samples', {})
        loaded, info = packed.get('ori_shape'), self.get_data_info(idx)
        stated = info['height'], info['width']
        if loaded is not None and tuple(loaded[:2]) != stated:
            raise ValueError(
                f'{info["img_path"]} is loaded with {loaded[1]} x {loaded[0]} '
                f'pixels, and {self.ann_file} says {stated[1]} x {stated[0]}: '
                'its boxes may be of another picture, or of this one before '
                'it is turned as its EXIF says; correct the file (all such '
                'images: tools/dataset_converters/verify.py --image-root)'
            )

    def _marks(self) -> dict:
        return dict(
            origin=self.origin,
            ann_file=self.ann_file,
            classes=tuple(self.metainfo['classes']),
        )

    def COCOAPI(self, path: str) -> CheckedCOCO:
        """Open the annotation file; called before the stock set parses it."""
        coco = CheckedCOCO(path)
        self._labels = self.category_labels(coco.dataset)
        self._counts = _count_odd(coco.dataset, self._labels)
        try:
            self._images = choose_images(coco.dataset, *self._choice)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        return coco

    def category_labels(self, content: dict) -> dict:
        """Category id -> label, for the categories that are kept."""
        classes = check_class_names(self.metainfo['classes'])
        if not self.missing_ok:
            check_classes(content, classes, self.ann_file)
        self._check_others(content, classes)
        kept = classes if self.kept is None else self.kept
        labels = {c: i for i, c in enumerate(classes) if c in kept}
        names = {c['id']: c['name'] for c in content['categories']}
        return {
            number: labels.get(name, len(classes))
            for number, name in names.items()
            if name in labels or self.others == 'label'
        }

    def _check_others(self, content: dict, classes: Sequence[str]) -> None:
        names = {c['id']: c['name'] for c in content['categories']}
        used = {names[a['category_id']] for a in content['annotations']}
        if used <= set(classes):
            return
        found = f'{self.ann_file} has boxes of {sorted(used - set(classes))}'
        if self.others == 'refuse':
            raise ValueError(
                f'{found}, which are not in metainfo.classes; add them, or '
                'set ignore_other_classes=True to leave them out'
            )
        if self.others == 'label' and not self.test_mode:
            raise ValueError(
                f'{found}, which are unknown, and label {len(classes)} is '
                "not one to train on; set unknown='drop' to leave them out, "
                'or test_mode=True for a test set'
            )

    def parse_data_info(self, raw_data_info: dict) -> dict:
        # The stock set has just numbered the categories in its way. It reads
        # both when it parses an image, the ids also when it drops images.
        self.cat2label, self.cat_ids = self._labels, list(self._labels)
        return super().parse_data_info(raw_data_info)

    def filter_data(self) -> list[dict]:
        infos = super().filter_data()
        chosen = self.chosen(infos)
        if not chosen:
            raise ValueError(
                f'{self.ann_file}: no image is left, of '
                f'{len(self.data_list)} in the file; see filter_cfg and the '
                'classes that are kept'
            )
        size = (self.filter_cfg or {}).get('min_size', 0)
        kept = {info['img_id'] for info in infos}
        gone = [i for i in self.data_list if i['img_id'] not in kept]
        small = sum(min(i['width'], i['height']) < size for i in gone)
        self._counts['images smaller than min_size (left out)'] = small
        self._counts['images without objects (left out)'] = len(gone) - small
        self._counts['images not chosen'] = len(infos) - len(chosen)
        self._report()
        return chosen

    def chosen(self, infos: list[dict]) -> list[dict]:
        """Those of the images that ``filter_cfg`` leaves."""
        return [info for info in infos if info['img_id'] in self._images]

    def _report(self) -> None:
        found = [f'{n} {what}' for what, n in self._counts.items() if n]
        if found:
            MMLogger.get_current_instance().info(
                f'{self.ann_file} (set {self.origin!r}) has '
                + ', '.join(found)
            )


def _count_odd(content: dict, labels: Mapping) -> Counter:
    """What is not used as it is, by what the stock set does."""
    sizes = {i['id']: (i['width'], i['height']) for i in content['images']}
    counts: Counter = Counter()
    files = Counter(i['file_name'] for i in content['images'])
    again = sum(count - 1 for count in files.values())
    counts['images of a file that is listed before (kept)'] = again
    for annotation in content['annotations']:
        box, size = annotation['bbox'], sizes[annotation['image_id']]
        kind, _ = box_problem(box, *size) or (None, '')
        if annotation['category_id'] not in labels:
            counts['objects of other classes (left out)'] += 1
        elif annotation.get('ignore'):
            counts['objects marked "ignore" (left out)'] += 1
        elif kind == 'empty_boxes':
            counts['boxes below a pixel or outside (left out)'] += 1
        elif annotation['iscrowd']:
            counts['crowds (ignored)'] += 1
        elif kind == 'protruding_boxes':
            counts['boxes that stick out of the image (kept)'] += 1
    return counts


@DATASETS.register_module()
class IDCocoDataset(OriginCocoDataset):
    """ID set in COCO format that refuses objects of other classes.

    ``CocoDataset`` drops annotations of classes it was not given. Here that
    is an error; ``ignore_other_classes=True`` permits it, to train on a part
    of a file's classes.
    """

    def __init__(
        self, *args, ignore_other_classes: bool = False, **kwargs
    ) -> None:
        others = 'drop' if ignore_other_classes else 'refuse'
        super().__init__(*args, others=others, **kwargs)


@DATASETS.register_module()
class OODCocoDataset(OriginCocoDataset):
    """Out-of-distribution test set in COCO format, under a name.

    All categories of the file count as objects to find, whatever their
    names; the classes of the detector do not matter here.
    """

    own_classes = True  # not those of the detector

    def __init__(self, *args, name: str, **kwargs) -> None:
        check_set_name(name, is_ood=True)
        super().__init__(*args, name=name, **kwargs)

    def category_labels(self, content: dict) -> dict:
        names = tuple(c['name'] for c in content['categories'])
        self._metainfo['classes'] = names
        return super().category_labels(content)


def check_classes(content: dict, classes: Sequence[str], path: str) -> None:
    """Raise ValueError if a COCO file lacks one of a config's classes."""
    names = [c['name'] for c in content['categories']]
    absent = [c for c in classes if c not in names]
    if absent:
        raise ValueError(
            f'{path} has no category {shorten(absent)}; it has '
            f'{shorten(sorted(names))}. Correct metainfo.classes, or add them '
            'to the categories of the file'
        )
