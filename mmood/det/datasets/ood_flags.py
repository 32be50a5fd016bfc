"""Training sets in which some objects are outliers.

A flagged object's label is `OOD_LABEL`, so that whatever moves, drops or
samples boxes together with their labels keeps the flag.
"""

from __future__ import annotations

from mmdet.datasets.transforms import PackDetInputs

from mmood.registry import DATASETS, TRANSFORMS

from .coco import IDCocoDataset, read_coco_json

OOD_LABEL = -1


@DATASETS.register_module()
class OODFlagCocoDataset(IDCocoDataset):
    """ID set in COCO format whose annotations say ``ood``, 0 or 1.

    Objects with ``ood: 1`` get the label `OOD_LABEL` in place of their
    category's. Train on it with an `OODRoIHead`. Raises ValueError if there
    is no annotation or one without a flag of 0 or 1, and as `IDCocoDataset`
    does.
    """

    def load_data_list(self) -> list[dict]:
        annotations = read_coco_json(self.ann_file)['annotations']
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
        return super().load_data_list()

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """As the parent, which drops some boxes: hence one by one."""
        annotations = raw_data_info['raw_ann_info']
        info = super().parse_data_info({**raw_data_info, 'raw_ann_info': []})
        for annotation in annotations:
            one = {**raw_data_info, 'raw_ann_info': [annotation]}
            for instance in super().parse_data_info(one)['instances']:
                if annotation['ood']:
                    instance['bbox_label'] = OOD_LABEL
                info['instances'].append(instance)
        return info


@TRANSFORMS.register_module()
class PackOODInputs(PackDetInputs):
    """``PackDetInputs`` that also packs ``gt_instances.ood`` (n,) bool."""

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        instances = packed['data_samples'].gt_instances
        instances.ood = instances.labels < 0
        return packed
