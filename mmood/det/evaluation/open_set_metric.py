"""Closed-set and open-set measures in one pass.

Shapes: n detections of an image, K known classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from tabulate import tabulate

from mmood.metrics.detection import EmptySetWarning
from mmood.metrics.open_set import check_operating_point, open_set_metrics
from mmood.metrics.voc import best_f1_score, check_style, match_classes
from mmood.ops import check_populations
from mmood.registry import METRICS

from .class_groups import check_groups, group_measures
from .kept_boxes import threshold_at
from .records import (
    class_names,
    image_detections,
    ood_scores,
    origin_of,
    write_metrics,
)

_COLUMNS = ('WI', 'AOSE', 'mAP_K', 'AP_U', 'P_K', 'R_K', 'P_U', 'R_U')


@METRICS.register_module()
class OpenSetDetMetric(BaseMetric):
    """WI, AOSE, mAP_K and AP_U on the ID images and with each further set.

    K, the number of classes in the metainfo, is the label of unknown
    objects, in annotations as in predictions. Each set that is not ``'id'``
    is evaluated together with the ID images, as VOC-COCO-20 is VOC test plus
    COCO images. IoU is above 0.5, boxes are continuous.

    Returns ``<set>/open_set/<measure>`` of `open_set_metrics` for ``id`` and
    each set, in %, AOSE a count; ``closed_mAP_K``, the one on the ID images;
    ``ood_threshold``, the OOD score that keeps 95 % of the true positives on
    the ID images (nan if boxes have no OOD score),
    ``ood_threshold/<score>``, that of each score, and ``score_threshold``
    (`best_f1_score` on the ID images), all under the prefix ``ood``.

    Args:
        protocol: see `mmood.metrics.wilderness_impact`.
        recall: at which WI is taken.
        groups: names of the known classes by group, of open-world detection
            ``dict(old=[...], new=[...])``: what was known before the last
            step, and what it added. Then `group_measures` of the ID images
            are returned too. Classes of the metainfo that are in none are
            those of steps to come, whose objects have the label K.
        closed_style: of average precision on the ID images, see
            `mmood.metrics.voc_average_precision`.
        open_style: the same for the other sets.
        rounds: scores to three decimals and coordinates to one, as the
            result files have it that published numbers come from.
        out_dir: folder for ``metrics.json``; None: no file.

    Raises ValueError for a choice that is not there, samples without
    annotations, a test without ID images, sets that share a name and images
    that are there twice. Datasets are
    `OpenSetCocoDataset`, in a ``ConcatDataset`` if there are several.
    """

    default_prefix = 'ood'

    def __init__(
        self,
        protocol: str = 'opendet',
        recall: float = 0.8,
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        closed_style: str = '11points',
        open_style: str = 'area',
        rounds: bool = True,
        out_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_operating_point(recall, protocol)
        check_style(closed_style)
        check_style(open_style)
        self.protocol, self.recall = protocol, recall
        self.closed_style, self.open_style = closed_style, open_style
        self.groups = None if groups is None else check_groups(groups)
        self.rounds, self.out_dir = rounds, out_dir

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            self.results.append(
                dict(
                    origin=origin_of(sample, self.dataset_meta, True),
                    source=sample.get('ann_file'),
                    img_id=sample.get('img_id'),
                    image=image_detections(sample, self.rounds),
                    ood_scores=ood_scores(sample['pred_instances']),
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        classes = class_names(self.dataset_meta)
        num_known = len(classes)
        check_populations(
            (r['origin'], r['source'], r['img_id']) for r in results
        )
        in_id = [r for r in results if r['origin'] == 'id']
        if not in_id:
            raise ValueError(
                'no ID image among the tested ones: open-set measures need '
                'the ID set in the same pass (ConcatDataset)'
            )
        origins = dict.fromkeys(r['origin'] for r in results)
        names = [name for name in origins if name != 'id']
        rows = {'id': self._measure(in_id, num_known, self.closed_style)}
        for name in names:
            images = [r for r in results if r['origin'] in ('id', name)]
            rows[name] = self._measure(images, num_known, self.open_style)
        metrics = {
            f'{name}/open_set/{key}': value
            for name, row in rows.items()
            for key, value in row.items()
        }
        metrics['closed_mAP_K'] = rows['id']['mAP_K']
        if self.groups is not None:
            metrics.update(
                group_measures(
                    [r['image'] for r in in_id],
                    self.groups,
                    classes,
                    self.closed_style,
                    unknown=True,
                )
            )
        metrics.update(_thresholds(in_id, num_known))
        self._report(rows)
        if self.out_dir:
            write_metrics(self.out_dir, metrics)
        return metrics

    def _measure(
        self, results: list[dict], num_known: int, style: str
    ) -> dict[str, float]:
        with warnings.catch_warnings():
            if all(r['origin'] == 'id' for r in results):
                # A closed set is meant to be without.
                warnings.filterwarnings(
                    'ignore', 'no unknown object', EmptySetWarning
                )
            return open_set_metrics(
                [r['image'] for r in results],
                num_known,
                recall=self.recall,
                protocol=self.protocol,
                style=style,
            )

    def _report(self, rows: dict[str, dict]) -> None:
        table = [[name, *(r[c] for c in _COLUMNS)] for name, r in rows.items()]
        text = tabulate(table, ('set', *_COLUMNS), 'github', floatfmt='.2f')
        MMLogger.get_current_instance().info(
            f'Open set, WI at recall {self.recall} by {self.protocol}, in %, '
            f'AOSE a count\n{text}'
        )


def _thresholds(results: list[dict], num_known: int) -> dict[str, float]:
    """The scores from which on a box counts, and is out-of-distribution."""
    images = [r['image'] for r in results]
    matches = [m for (m,) in match_classes(images, range(num_known))]
    right = np.concatenate(
        [m.indices[m.is_tp] for m in matches if m.indices is not None]
    )
    found = dict(ood_threshold=float('nan'))
    for name in results[0]['ood_scores']:
        if not all(name in r['ood_scores'] for r in results):
            continue
        scores = np.concatenate([r['ood_scores'][name] for r in results])
        key = f'ood_threshold/{name}' if name else 'ood_threshold'
        found[key] = threshold_at(scores[right], 0.95)
    return dict(found, score_threshold=best_f1_score(matches))
