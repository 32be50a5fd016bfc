"""Training sets in which some objects are outliers.

A flagged object's label is `OOD_LABEL`, so that whatever moves, drops or
samples boxes together with their labels keeps the flag.
"""

from __future__ import annotations

import torch
from mmdet.datasets.transforms import PackDetInputs

from mmood.registry import DATASETS, TRANSFORMS

from .coco import IDCocoDataset

OOD_LABEL = -1
_OUTLIER = ('outlier',)  # in the place of a flagged object's category id


@DATASETS.register_module()
class OODFlagCocoDataset(IDCocoDataset):
    """ID set in COCO format whose annotations say ``ood``, 0 or 1.

    Objects with ``ood: 1`` get the label `OOD_LABEL` in place of their
    category's. Train on it with an `OODRoIHead` or an `OODHead`. Raises
    ValueError if there is no annotation or one without a flag of 0 or 1, and
    as `IDCocoDataset` does.
    """

    has_flags = True

    def category_labels(self, content: dict) -> dict:
        annotations = content['annotations']
        if not annotations:
            raise ValueError(
                f'{self.ann_file} has no annotation: nothing was painted, '
                'see the report.json beside it'
            )
        bad = [a['id'] for a in annotations if a.get('ood') not in (0, 1)]
        if bad:
            raise ValueError(
                f'{self.ann_file}: {len(bad)} of {len(annotations)} '
                f'annotations (ids {bad[:3]} ...) have no ood flag of 0 or '
                '1: tools/dream_box/generate.py writes them; a set without '
                'outliers is an mmood.IDCocoDataset'
            )
        return {**super().category_labels(content), _OUTLIER: OOD_LABEL}

    def parse_data_info(self, raw_data_info: dict) -> dict:
        annotations = [
            {**a, 'category_id': _OUTLIER} if a['ood'] else a
            for a in raw_data_info['raw_ann_info']
        ]
        raw = {**raw_data_info, 'raw_ann_info': annotations}
        return super().parse_data_info(raw)


@TRANSFORMS.register_module()
class PackOODInputs(PackDetInputs):
    """``PackDetInputs`` that also packs ``gt_instances.ood`` (n,) bool.

    With ``apart`` flagged objects go to ``ignored_instances``, which then
    have ``ood`` too (a flagged crowd is a crowd): for detectors that read
    ``gt_instances`` before their head does, as DINO, which makes queries to
    denoise of them. An `OODHead` finds them in either place.
    """

    def __init__(self, *args, apart: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.apart = apart

    def transform(self, results: dict) -> dict:
        if not self.apart:
            return self._packed(results)
        crowds = results['gt_ignore_flags'].astype(bool)
        is_ood = (results['gt_bboxes_labels'] < 0) & ~crowds
        ignored = crowds | is_ood
        packed = self._packed({**results, 'gt_ignore_flags': ignored})
        others = packed['data_samples'].ignored_instances
        others.ood = torch.from_numpy(is_ood[ignored])
        return packed

    def _packed(self, results: dict) -> dict:
        packed = super().transform(results)
        instances = packed['data_samples'].gt_instances
        instances.ood = instances.labels < 0
        return packed
