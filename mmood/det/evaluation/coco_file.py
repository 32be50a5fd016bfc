"""Checks of a test against the annotations of its ID set, and COCO curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout

from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmengine.logging import MMLogger

from mmood.metrics import optimal_f1_threshold


def check_tested(
    coco: COCO, path: str | None, classes: Sequence[str], img_ids: list
) -> None:
    """Whether classes and tested images are those of the annotations.

    Raises ValueError if not; says how many images were not tested.
    """
    names = [c['name'] for c in coco.dataset['categories']]
    absent = [name for name in classes if name not in names]
    if absent:
        raise ValueError(
            f'the metric is given the classes {list(classes)}, of which '
            f'{path} has no {absent}: put the ID set first in the '
            'ConcatDataset, whose classes are those of its first set'
        )
    strange = [i for i in img_ids if i not in coco.imgs]
    if strange:
        raise ValueError(
            f'{len(strange)} tested ID images, such as the one of id '
            f'{strange[0]!r}, are not in {path}: leave out the ann_file of '
            'the evaluator, it is taken from the set'
        )
    left = len(coco.imgs) - len(img_ids)
    if left:
        MMLogger.get_current_instance().warning(
            f'{left} of the {len(coco.imgs)} images of {path} were not '
            'tested; they do not count'
        )


def has_objects(coco: COCO, cat_ids: Sequence, img_ids: Sequence) -> bool:
    """Whether images have objects of categories, crowds aside."""
    wanted = set(cat_ids)
    return any(
        annotation['category_id'] in wanted and not annotation['iscrowd']
        for image in img_ids
        for annotation in coco.img_ann_map.get(image, ())
    )


def best_confidence(
    coco: COCO, detections: list[dict], cat_ids: Sequence, img_ids: Sequence
) -> float:
    """Class confidence of best F1 (`optimal_f1_threshold`), 0 for none.

    ``detections`` are as in COCO's result files.
    """
    if not detections:
        return 0.0
    with redirect_stdout(io.StringIO()):
        curves = COCOeval(coco, coco.loadRes(detections), 'bbox')
        curves.params.catIds = cat_ids
        curves.params.imgIds = img_ids
        curves.params.maxDets = [100]
        curves.params.areaRng = [[0, 1e10]]
        curves.params.areaRngLbl = ['all']
        curves.evaluate()
        curves.accumulate()
    return optimal_f1_threshold(
        curves.eval['precision'][..., 0, 0], curves.eval['scores'][..., 0, 0]
    )
