"""One pass over ID and OOD images, one table.

Shapes: n detections of an image, K classes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

import numpy as np
import torch
from mmdet.datasets.api_wrappers import COCOeval
from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger
from tabulate import tabulate
from torch import Tensor

from mmood.metrics import (
    id_quantile_threshold,
    object_recall,
    ood_metrics,
    optimal_f1_threshold,
    protocol_rule,
)
from mmood.registry import METRICS
from mmood.visualization import plot_roc_and_histogram

from .records import write_metrics

_PREFIX = 'ood_scores_'


@METRICS.register_module()
class OODDetMetric(CocoMetric):
    """COCO mAP on the ID images and OOD measures on each named OOD set.

    Populations are all kept boxes, whether they hit an object or not: on the
    ID images and on those of each set (VOS). A box is kept if the largest
    class confidence of its RoI, background apart, reaches
    ``score_threshold``; under the protocol ``dreambox``, if the box's own
    class confidence is above it. Because a detector that misses OOD objects
    looks good by that, two more shares stand beside: ``recall`` of annotated
    OOD objects by kept boxes (IoU >= 0.5, any class), and ``flagged``, by kept
    boxes whose score says OOD at the threshold that keeps ``tpr`` of the ID
    boxes.

    Returns ``bbox_mAP`` ... of `CocoMetric`, ``score_threshold``,
    ``ood_threshold`` (the first score's), ``ood_threshold/<score>`` and
    ``<set>/<score>/{FPR95,AUROC,AUPR,recall,flagged}`` under the prefix
    ``ood``; shares in [0, 1], nan with a warning where a side is empty.

    Args:
        protocol: see `mmood.metrics.fpr_at_tpr`.
        score_threshold: ``'optimal_f1'``, found on the ID images of this
            pass as VOS does, or a number.
        tpr: share of ID boxes to keep in FPR and ``ood_threshold``.
        out_dir: folder for ``metrics.json``, ``ood_scores_<score>.npz`` (one
            array per set) and PNGs with ROC curve and histogram; None: no
            files.

    Datasets are `IDCocoDataset` (or any with the ID annotations in
    ``ann_file``) and `OODCocoDataset`, in a ``ConcatDataset``.
    """

    default_prefix = 'ood'

    def __init__(
        self,
        *args,
        protocol: str = 'vos',
        score_threshold: str | float = 'optimal_f1',
        tpr: float = 0.95,
        out_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        protocol_rule(protocol)
        is_number = isinstance(score_threshold, (int, float))
        if not is_number and score_threshold != 'optimal_f1':
            raise ValueError(
                "score_threshold must be 'optimal_f1' or a number, got "
                f'{score_threshold!r}'
            )
        self.protocol, self.tpr = protocol, tpr
        self.score_threshold, self.out_dir = score_threshold, out_dir

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        first = len(self.results)
        super().process(data_batch, data_samples)
        for i, sample in enumerate(data_samples, first):
            self.results[i] = (*self.results[i], _record(sample))

    def compute_metrics(self, results: list) -> dict[str, float]:
        if isinstance(self.dataset_meta, list):
            raise ValueError(
                'the ConcatDataset has the metainfo of several sets: give it '
                "ignore_keys=['classes', 'palette'] and the ID set first"
            )
        in_id = [r for r in results if r[2]['origin'] == 'id']
        if not in_id:
            raise ValueError(
                'no ID image among the tested ones: mAP and the OOD measures '
                'need the ID set in the same pass (ConcatDataset)'
            )
        metrics = super().compute_metrics([r[:2] for r in in_id])
        metrics.setdefault('bbox_mAP', 0.0)  # CocoMetric's way to say: none
        threshold = self._confidence([r[:2] for r in in_id])
        sets = _by_origin([r[2] for r in results], self._keep(threshold))
        metrics['score_threshold'] = threshold
        first = sets['id']['scores'].pop('')
        metrics['ood_threshold'] = id_quantile_threshold(first, self.tpr)
        names = sorted(sets['id']['scores'])
        for name in names:
            id_scores = sets['id']['scores'][name]
            gamma = id_quantile_threshold(id_scores, self.tpr)
            metrics[f'ood_threshold/{name}'] = gamma
            for origin, kept in sets.items():
                if origin != 'id':
                    row = self._measure(id_scores, kept, name, gamma)
                    metrics.update(
                        {f'{origin}/{name}/{k}': v for k, v in row.items()}
                    )
        self._report(metrics, names, [o for o in sets if o != 'id'])
        if self.out_dir:
            self._dump(metrics, sets, names)
        return metrics

    def _keep(self, threshold: float) -> Callable[[dict], np.ndarray]:
        """Which boxes (n,) of a record count."""
        if self.protocol == 'dreambox':
            return lambda record: record['box_confidence'] > threshold
        return lambda record: record['confidence'] >= threshold

    def _measure(
        self, id_scores: np.ndarray, kept: dict, name: str, gamma: float
    ) -> dict[str, float]:
        row = ood_metrics(
            id_scores, kept['scores'][name], self.protocol, self.tpr
        )
        row['recall'] = object_recall(kept['boxes'], kept['objects'])
        flagged = [
            boxes[scores > gamma]
            for boxes, scores in zip(kept['boxes'], kept['per_image'][name])
        ]
        row['flagged'] = (
            float('nan')
            if np.isnan(gamma)
            else object_recall(flagged, kept['objects'])
        )
        return row

    def _confidence(self, results: list) -> float:
        """The class confidence from which a box counts."""
        if self.score_threshold != 'optimal_f1':
            return float(self.score_threshold)
        detections = [
            dict(
                image_id=pred['img_id'],
                category_id=self.cat_ids[label],
                bbox=self.xyxy2xywh(box),
                score=float(score),
            )
            for _, pred in results
            for box, score, label in zip(
                pred['bboxes'], pred['scores'], pred['labels']
            )
        ]
        if not detections:
            return 0.0
        with redirect_stdout(io.StringIO()):
            coco = self._coco_api
            curves = COCOeval(coco, coco.loadRes(detections), 'bbox')
            curves.params.catIds = self.cat_ids
            curves.params.imgIds = self.img_ids
            curves.params.maxDets = [100]
            curves.params.areaRng = [[0, 1e10]]
            curves.params.areaRngLbl = ['all']
            curves.evaluate()
            curves.accumulate()
        return optimal_f1_threshold(
            curves.eval['precision'][..., 0, 0],
            curves.eval['scores'][..., 0, 0],
        )

    def _report(self, metrics: dict, names: list, sets: list) -> None:
        columns = ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged')
        table = [
            [origin, name]
            + [100 * metrics[f'{origin}/{name}/{c}'] for c in columns]
            for origin in sets
            for name in names
        ]
        head = (
            f'ID mAP {100 * metrics["bbox_mAP"]:.1f}, boxes count from a '
            f'confidence of {metrics["score_threshold"]:.4f}'
        )
        if table:
            headers = ('OOD set', 'score', *columns)
            head += f', protocol {self.protocol}, in %\n' + tabulate(
                table, headers, 'github', floatfmt='.2f'
            )
        MMLogger.get_current_instance().info(head)

    def _dump(self, metrics: dict, sets: dict, names: list) -> None:
        os.makedirs(self.out_dir, exist_ok=True)
        for name in names:
            scores = {o: kept['scores'][name] for o, kept in sets.items()}
            path = os.path.join(self.out_dir, f'{_PREFIX}{name}')
            with open(f'{path}.part', 'wb') as file:
                np.savez(file, **scores)
            os.replace(f'{path}.part', f'{path}.npz')
            id_scores = scores.pop('id')
            plot_roc_and_histogram(id_scores, scores, f'{path}.png', name)
        write_metrics(self.out_dir, metrics)


def _record(sample: dict) -> dict:
    """What the OOD measures need of one image, as numpy arrays."""
    pred = sample['pred_instances']
    # Without a name: the one that `is_ood` goes by. Fields have no order.
    scores = {
        key[len(_PREFIX) :]: _numpy(pred[key])
        for key in pred
        if key.startswith(_PREFIX)
    }
    if 'ood_scores' not in pred:
        raise ValueError(
            'predictions have no OOD score: set model.roi_head.type to '
            "'mmood.OODRoIHead'"
        )
    scores[''] = _numpy(pred['ood_scores'])
    origin = sample.get('origin', 'id')
    objects = [] if origin == 'id' else sample['instances']
    boxes = [o['bbox'] for o in objects if not o.get('ignore_flag', 0)]
    return dict(
        origin=origin,
        scores=scores,
        boxes=pred['bboxes'].cpu().numpy(),
        confidence=pred['max_class_scores'].cpu().numpy(),
        box_confidence=pred['scores'].cpu().numpy(),
        objects=np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
    )


def _numpy(values: Tensor) -> np.ndarray:
    """In single precision at least: some scores differ in late digits."""
    dtype = torch.promote_types(values.dtype, torch.float32)
    return values.to(dtype).cpu().numpy()


def _by_origin(
    records: list[dict], keep: Callable[[dict], np.ndarray]
) -> dict[str, dict]:
    """Kept boxes per set: scores of all, boxes and objects per image."""
    sets: dict[str, dict] = {}
    for record in records:
        kept = keep(record)
        part = sets.setdefault(
            record['origin'],
            dict(
                boxes=[],
                objects=[],
                per_image={k: [] for k in record['scores']},
            ),
        )
        part['boxes'].append(record['boxes'][kept])
        part['objects'].append(record['objects'])
        for name, scores in record['scores'].items():
            part['per_image'][name].append(scores[kept])
    for part in sets.values():
        part['scores'] = {
            name: np.concatenate(scores)
            for name, scores in part['per_image'].items()
        }
    return dict(sorted(sets.items(), key=lambda item: item[0] != 'id'))
