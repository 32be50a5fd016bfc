"""A RoI head on fixed maps as a detector whose scores can be fitted.

Shapes: K classes, 16-channel maps of a 64 px image.
"""

import copy
from types import SimpleNamespace

import torch
from torch import nn

from det_helpers import K, build_head, predict, proposals, samples

CLASSES = ('ant', 'bee', 'cat', 'dog')


class Detector(nn.Module):
    """A RoI head on fixed maps; its batches are (maps, proposals, data)."""

    def __init__(self, kind='standard', **kwargs):
        super().__init__()
        self.roi_head = build_head(kind, **kwargs)
        self.roi_head.test_cfg.score_thr = 0.0

    def test_step(self, batch):
        maps, props, data = copy.deepcopy(batch)
        found = predict(self.roi_head, maps, props, data)
        for sample, instances in zip(data, found):
            sample.pred_instances = instances
        return data


def batches(count=6, annotated=True, classes=K):
    """One image each; every proposal is an annotated object."""
    torch.manual_seed(0)
    result = []
    for number in range(count):
        props, data = proposals(10), samples(1)
        scaled = 2 * props.bboxes  # ori_shape is twice img_shape
        objects = [
            dict(bbox=box.tolist(), bbox_label=i % classes, ignore_flag=0)
            for i, box in enumerate(scaled)
        ]
        meta = dict(img_id=number, img_path=f'{number}.png')
        if annotated:
            meta['instances'] = objects
        data[0].set_metainfo(meta)
        result.append(((torch.randn(1, 16, 8, 8),), [props], data))
    return result


class Loader(list):
    dataset = SimpleNamespace(metainfo=dict(classes=CLASSES))

    def __init__(self, batches):
        super().__init__(batches)
        self.dataset = Sized(len(batches))


class Sized(SimpleNamespace):
    def __init__(self, count):
        super().__init__(count=count, metainfo=dict(classes=CLASSES))

    def __len__(self):
        return self.count


def names_of(instances):
    keys = [k for k, _ in instances.items() if k.startswith('ood_scores_')]
    return {key[len('ood_scores_') :] for key in keys}
