"""Predictions as COCO's result files, with what an OOD score says.

Shapes: n detections of an image.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from mmood.ops import write_json
from mmood.registry import METRICS

from ..datasets.coco_api import CheckedCOCO
from .records import finite_predictions, origin_of


@METRICS.register_module()
class OODResultsFile(BaseMetric):
    """Write ``SET.bbox.json`` for each set of a test, measure nothing.

    A file is a list of boxes as COCO's result files have them (``image_id``,
    ``category_id``, ``bbox`` = x, y, width, height, ``score``, the class
    confidence) with four fields more: ``ood_score`` (higher is more OOD,
    null where it is not finite), ``ood_scores``, all by name, ``is_ood`` and
    ``category``, the name.
    ``COCO.loadRes`` reads it, and so does whatever takes such files.

    Categories are those of the ID set's file, also in an OOD set: what the
    detector would have said. An open-set detector's label "unknown" has the
    id after them. Files appear whole or not at all.

    Args:
        out_dir: folder of the files.
    """

    default_prefix = 'results'

    def __init__(self, out_dir: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.out_dir = out_dir

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            origin = origin_of(sample, self.dataset_meta)
            entries = image_results(finite_predictions(sample))
            self.results.append(
                dict(
                    origin=origin,
                    ann_file=sample.get('ann_file'),
                    img_id=sample['img_id'],
                    entries=entries,
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        files = [r['ann_file'] for r in results if r['origin'] == 'id']
        if not files or files[0] is None:
            raise ValueError(
                'the result files take their category ids from the ID set: '
                'test on an mmood.IDCocoDataset, first in the ConcatDataset'
            )
        coco = CheckedCOCO(files[0])
        classes = self.dataset_meta['classes']
        ids = coco.get_cat_ids(cat_names=classes)
        beyond = max(coco.cats) + 1
        sets: dict[str, list] = defaultdict(list)
        for record in results:
            for entry in record['entries']:
                label = entry.pop('label')
                is_class = label < len(ids)
                entry = dict(
                    image_id=record['img_id'],
                    category_id=ids[label] if is_class else beyond,
                    category=classes[label] if is_class else 'unknown',
                    **entry,
                )
                sets[record['origin']].append(entry)
            sets[record['origin']] += []  # also of a set without boxes
        for origin, entries in sets.items():
            path = os.path.join(self.out_dir, f'{origin}.bbox.json')
            write_json(path, entries)
        return {origin: len(entries) for origin, entries in sets.items()}


def image_results(pred: dict) -> list[dict]:
    """The boxes of an image, with ``label`` in the place of a category."""
    if 'ood_scores' not in pred:
        raise ValueError(
            'the predictions have no ood_scores: the config needs an '
            'mmood.OODHead, or a detector of mmood, with a list of scores'
        )
    corners = pred['bboxes'].double().cpu().tolist()
    names = [key for key in pred if key.startswith('ood_scores_')]
    values = {key[len('ood_scores_') :]: pred[key].tolist() for key in names}
    columns = zip(
        corners,
        pred['labels'].tolist(),
        pred['scores'].tolist(),
        pred['ood_scores'].tolist(),
        pred['is_ood'].tolist(),
    )
    return [
        dict(
            label=label,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=score,
            ood_score=ood_score,
            ood_scores={name: values[name][i] for name in sorted(values)},
            is_ood=is_ood,
        )
        for i, ((x1, y1, x2, y2), label, score, ood_score, is_ood) in (
            enumerate(columns)
        )
    ]
