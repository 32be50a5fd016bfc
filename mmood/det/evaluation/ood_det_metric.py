"""The OOD measures of boxes, on ID and OOD images in one pass.

Shapes: n detections of an image, K classes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger

from mmood.metrics import EmptySetWarning, protocol_rule
from mmood.ops import check_populations
from mmood.registry import METRICS

from ..datasets.coco_api import CheckedCOCO
from .coco_file import best_confidence, check_tested, has_objects
from .details import name_of, write_details, write_scores
from .kept_boxes import (
    box_record,
    by_origin,
    measure,
    nan_notes,
    threshold_at,
)
from .more_measures import (
    calibration_measures,
    matched_measures,
    open_set_measures,
)
from .records import (
    class_names,
    finite_predictions,
    origin_of,
    write_metrics,
)
from .report import box_report


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

    On demand, further measures of the same boxes (`more_measures`):
    ``open_set``, ``matched`` and ``calibration``.

    Returns ``bbox_mAP`` ... of `CocoMetric`, ``score_threshold``,
    ``ood_threshold`` (the first score's), ``ood_threshold/<score>`` and
    ``<set>/<score>/{FPR95,AUROC,AUPR,recall,flagged}`` under the prefix
    ``ood``; shares in [0, 1], nan with a warning where a side is empty or a
    score is nan.

    Args:
        ann_file: annotations of the ID set; None: the file that the set was
            made of. Another one than that is refused.
        protocol: see `mmood.metrics.fpr_at_tpr`.
        score_threshold: ``'optimal_f1'``, found on the ID images of this
            pass as VOS does, or a number.
        tpr: share of ID boxes to keep in FPR and ``ood_threshold``.
        out_dir: folder for ``metrics.json``, ``ood_scores_<score>.npz`` (one
            array per set), PNGs with ROC curve and histogram, and the boxes
            (`details`); None: no files.
        open_set: whether to add the measures of open-set detection, where
            boxes beyond their score's threshold are unknown and so are all
            objects of OOD sets: ``<set>/<score>/{AP_U,P_U,R_U,nOSE,WI}`` and
            ``AOSE``, a count; ``id/<score>/{AP_K,P_K,R_K,AP_K_cost}``, on
            the ID images, and ``AP_K``, without a threshold.
        matched: whether to add ``<set>/<score>/matched_FPR95`` and so on, of
            correct ID boxes against boxes on annotated OOD objects.
        calibration: whether to add ``calibration/{ECE,marginal_CE,NLL,
            Brier,...}`` of the ID boxes' confidences.

    Datasets are `IDCocoDataset` and `OODCocoDataset`, in a ``ConcatDataset``
    that has the ID set first. Raises ValueError for samples that do not say
    which set they are of, sets that share a name, images that are there
    twice, and classes that the ID annotations do not have.
    """

    default_prefix = 'ood'

    def __init__(
        self,
        ann_file: str | None = None,
        *args,
        protocol: str = 'vos',
        score_threshold: str | float = 'optimal_f1',
        tpr: float = 0.95,
        out_dir: str | None = None,
        open_set: bool = False,
        matched: bool = False,
        calibration: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(None, *args, **kwargs)
        protocol_rule(protocol)
        check_confidence(score_threshold)
        items = self.metric_items or ['mAP']
        if (
            self.format_only
            or 'bbox' not in self.metrics
            or 'mAP' not in items
        ):
            raise ValueError(
                'OODDetMetric reports the mAP of boxes: metric must hold '
                f"'bbox' and metric_items 'mAP', got {self.metrics} and "
                f'{items}, and format_only be False, got {self.format_only}'
            )
        self.protocol, self.tpr = protocol, tpr
        self.score_threshold, self.out_dir = score_threshold, out_dir
        self.open_set, self.matched = open_set, matched
        self.calibration = calibration
        self._reads_id_objects = open_set or matched or calibration
        self.ann_file = ann_file
        if ann_file is not None:
            self._coco_api = CheckedCOCO(ann_file)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            origin = origin_of(sample, self.dataset_meta)
            if origin == 'id':
                self._take_file(sample.get('ann_file'))
            pred = finite_predictions(sample)
            super().process(data_batch, [{**sample, 'pred_instances': pred}])
            is_read = self._reads_id_objects or (
                self.out_dir is not None and 'instances' in sample
            )
            record = box_record(sample, origin, is_read)
            self.results[-1] = (*self.results[-1], record)

    def _take_file(self, path: str | None) -> None:
        """Take the annotations from the file of the ID set."""
        if path is None:
            return
        if self.ann_file is None:
            self.ann_file, self._coco_api = path, CheckedCOCO(path)
        elif os.path.realpath(self.ann_file) != os.path.realpath(path):
            raise ValueError(
                f'the ann_file of the metric is {self.ann_file}, that of the '
                f'ID set {path}: leave out the ann_file of the evaluator, '
                'it is taken from the set (of which there can be one)'
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        check_populations(
            (record['origin'], record['source'], pred['img_id'])
            for _, pred, record in results
        )
        in_id = []
        for gt, pred, record in results:
            if record['origin'] == 'id':
                in_id.append((gt, pred))
                self._take_file(record['source'])  # of other ranks' images
        if not in_id:
            raise ValueError(
                'no ID image among the tested ones: mAP and the OOD measures '
                'need the ID set in the same pass (ConcatDataset)'
            )
        metrics = self._coco_metrics(in_id)
        threshold = self._confidence(in_id)
        sets = by_origin([r[2] for r in results], threshold, self.protocol)
        metrics['score_threshold'] = threshold
        unnamed = sets['id']['scores'].pop('')
        metrics['ood_threshold'] = threshold_at(unnamed, self.tpr)
        names, thresholds = sorted(sets['id']['scores']), {}
        for name in names:
            id_scores = sets['id']['scores'][name]
            thresholds[name] = gamma = threshold_at(id_scores, self.tpr)
            metrics[f'ood_threshold/{name}'] = gamma
            for origin, kept in sets.items():
                if origin != 'id':
                    row = measure(
                        id_scores, kept, name, self.protocol, self.tpr, gamma
                    )
                    metrics.update(
                        {f'{origin}/{name}/{k}': v for k, v in row.items()}
                    )
        metrics.update(self._on_demand(sets, thresholds))
        ood_sets = [origin for origin in sets if origin != 'id']
        text = box_report(metrics, ood_sets, names, self.protocol)
        MMLogger.get_current_instance().info(text)
        for note in nan_notes(sets):
            MMLogger.get_current_instance().warning(note)
        if self.out_dir:
            names.sort(key=lambda name: name != name_of(unnamed, sets['id']))
            write_scores(self.out_dir, sets, names)
            write_details(
                self.out_dir,
                sets,
                classes=class_names(self.dataset_meta),
                scores=names,
                protocol=self.protocol,
                tpr=self.tpr,
                score_threshold=threshold,
            )
            write_metrics(self.out_dir, metrics)
        return metrics

    def _on_demand(self, sets: dict, thresholds: dict) -> dict[str, float]:
        metrics = {}
        if self.matched:
            metrics.update(matched_measures(sets, self.protocol, self.tpr))
        if self.open_set:
            number = len(class_names(self.dataset_meta))
            metrics.update(open_set_measures(sets, thresholds, number))
        if self.calibration:
            metrics.update(calibration_measures(sets['id']))
        return metrics

    def _coco_metrics(self, results: list) -> dict[str, float]:
        """Those of `CocoMetric`, on the tested images; nan without objects.

        COCO's evaluation says -1 for what has no object.
        """
        classes = class_names(self.dataset_meta)
        self.img_ids = [pred['img_id'] for _, pred in results]
        for _, pred in results:
            _check_labels(pred, len(classes))
        if self._coco_api is not None:
            check_tested(self._coco_api, self.ann_file, classes, self.img_ids)
        metrics = super().compute_metrics(results)
        metrics = {
            name: float('nan') if value == -1 else value
            for name, value in metrics.items()
        }
        if has_objects(self._coco_api, self.cat_ids, self.img_ids):
            metrics.setdefault('bbox_mAP', 0.0)  # the way to say: none found
        else:
            metrics['bbox_mAP'] = float('nan')
            warnings.warn(
                f'the ID annotations {self.ann_file} have no object of '
                f'{list(classes)} in the tested images: mAP is nan, and every '
                'box counts',
                EmptySetWarning,
                stacklevel=2,
            )
        return metrics

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
        return best_confidence(
            self._coco_api, detections, self.cat_ids, self.img_ids
        )


def check_confidence(threshold: str | float) -> None:
    """Raise ValueError unless boxes can count from this confidence on."""
    is_number = (
        isinstance(threshold, (int, float))
        and not isinstance(threshold, bool)
        and 0 <= threshold <= 1
    )
    if not is_number and threshold != 'optimal_f1':
        raise ValueError(
            "score_threshold must be 'optimal_f1' or a number from 0 to 1, "
            f'got {threshold!r}'
        )


def _check_labels(pred: dict, num_classes: int) -> None:
    """Raises ValueError if a box has a label that is no class of the set."""
    beyond = pred['labels'][pred['labels'] >= num_classes]
    if len(beyond):
        raise ValueError(
            f'image {pred["img_id"]} has a box of label {beyond[0]}, the set '
            f'has {num_classes} classes: set num_classes of the box head, or '
            'take mmood.OpenSetDetMetric for a head with a class for the '
            'unknown'
        )
