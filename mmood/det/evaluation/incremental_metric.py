"""Average precision over old, new and all classes.

Shapes: K classes of the metainfo, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from tabulate import tabulate

from mmood.metrics.incremental import class_ap, group_means
from mmood.metrics.voc import check_style
from mmood.ops import check_populations
from mmood.registry import METRICS

from .records import (
    class_names,
    image_detections,
    origin_of,
    write_metrics,
)

_IOUS = np.arange(50, 100, 5) / 100


@METRICS.register_module()
class IncrementalDetMetric(BaseMetric):
    """VOC average precision per class and over groups of classes, in %.

    At the IoUs 0.5, 0.55 ... 0.95. Returns, under the prefix ``voc``:
    ``AP`` (mean over IoUs), ``AP50`` and ``AP75``, means over the classes of
    all groups; ``<group>/AP``, ``<group>/AP50``, ``<group>/AP75``;
    ``AP50/<class>`` and ``AP75/<class>``. A class without objects is nan and
    counts in no mean, a group without classes is left out.

    Args:
        groups: class names by group, as ``dict(old=[...], new=[...])``.
            Classes of the metainfo that are in none do not count: those of
            steps to come.
        style: see `mmood.metrics.voc_average_precision`.
        rounds: scores to three decimals and coordinates to one, as the
            result files have it that published numbers come from.
        out_dir: folder for ``metrics.json``; None: no file.

    Raises ValueError if all groups are empty, a class is in two of them or
    not in the metainfo, for samples without annotations, of an OOD set or of
    none, and for images that are there twice.
    """

    default_prefix = 'voc'

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        style: str = '11points',
        *,
        rounds: bool = True,
        out_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_style(style)
        names = [name for group in groups.values() for name in group]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise ValueError(
                f'groups must hold classes, each once, got {dict(groups)}'
                + (f' with {twice} more than once' if twice else '')
            )
        self.groups, self.style, self.out_dir = dict(groups), style, out_dir
        self.rounds = rounds

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            origin = origin_of(sample, self.dataset_meta, True)
            if origin != 'id':
                raise ValueError(
                    f'IncrementalDetMetric measures ID sets, got one named '
                    f'{origin!r}: leave it out of the test'
                )
            place = (origin, sample.get('ann_file'), sample.get('img_id'))
            self.results.append((place, image_detections(sample, self.rounds)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        check_populations(place for place, _ in results)
        results = [detections for _, detections in results]
        classes = class_names(self.dataset_meta)
        groups = self._labels(classes)
        every = sorted(label for group in groups.values() for label in group)
        ap = 100 * class_ap(results, len(classes), list(_IOUS), self.style)
        curves = dict(AP=ap.mean(0), AP50=ap[0], AP75=ap[5])
        metrics = {}
        for key, values in curves.items():
            means = group_means(values, dict(all=every))
            metrics[key] = means['all']
        for key, values in curves.items():
            for group, mean in group_means(values, groups).items():
                metrics[f'{group}/{key}'] = mean
        for key in ('AP50', 'AP75'):
            for label in every:
                metrics[f'{key}/{classes[label]}'] = float(curves[key][label])
        self._report(metrics, [classes[label] for label in every])
        if self.out_dir:
            write_metrics(self.out_dir, metrics)
        return metrics

    def _labels(self, classes: Sequence[str]) -> dict[str, list[int]]:
        """Labels of the classes of each group."""
        names = [name for group in self.groups.values() for name in group]
        unknown = sorted(set(names) - set(classes))
        if unknown:
            raise ValueError(
                f'groups name the classes {unknown}, which are not in '
                f'metainfo.classes {list(classes)}; correct one of them'
            )
        return {
            group: [classes.index(name) for name in members]
            for group, members in self.groups.items()
        }

    def _report(self, metrics: dict, classes: Sequence[str]) -> None:
        keys = ('AP', 'AP50', 'AP75')
        table = [
            [group, *(metrics[f'{group}/{key}'] for key in keys)]
            for group, members in self.groups.items()
            if len(members)
        ]
        table.append(['all', *(metrics[key] for key in keys)])
        table += [
            [name, None, metrics[f'AP50/{name}'], metrics[f'AP75/{name}']]
            for name in classes
        ]
        text = tabulate(table, ('classes', *keys), 'github', floatfmt='.2f')
        MMLogger.get_current_instance().info(f'AP in % ({self.style})\n{text}')
