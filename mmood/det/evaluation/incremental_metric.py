"""Average precision over old, new and all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from tabulate import tabulate

from mmood.metrics.voc import check_style
from mmood.ops import check_populations
from mmood.registry import METRICS

from .class_groups import check_groups, group_measures
from .records import (
    class_names,
    image_detections,
    origin_of,
    write_metrics,
)


@METRICS.register_module()
class IncrementalDetMetric(BaseMetric):
    """VOC average precision per class and over groups of classes, in %.

    Returns those of `group_measures` under the prefix ``voc``.

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
        self.groups = check_groups(groups)
        self.style, self.out_dir = style, out_dir
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
        images = [detections for _, detections in results]
        classes = class_names(self.dataset_meta)
        metrics = group_measures(images, self.groups, classes, self.style)
        names = [name for group in self.groups.values() for name in group]
        self._report(metrics, sorted(names, key=classes.index))
        if self.out_dir:
            write_metrics(self.out_dir, metrics)
        return metrics

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
