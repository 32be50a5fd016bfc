"""Scores of masks against a test of the same Mask2Former without them.

Random weights and images: nearly all queries are then of known classes, more
than a trained model has, so that Maskomaly looks at all masks. Run by
``benchmark.py seg --parts masks``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.hub import get_config
from mmseg.structures import SegDataSample
from timing import measure

from mmood.registry import MODELS

CONFIG = 'mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py'
MASK_SCORES = ['rba', 'eam', 'maskomaly', 'max_logit', 'msp', 'energy']
MASK_SCORES += ['entropy']
PAIRS = {
    'mask scores': [*MASK_SCORES, dict(type='mask2anomaly', flip=False)],
    'mask2anomaly, flipped': ['mask2anomaly'],
}


def testers(
    device: str, height: int, scores: list
) -> tuple[Callable, Callable]:
    """A test step of a frame with the scores, and of mmseg's own model."""
    size = (height, 2 * height)
    config = get_config(CONFIG).model
    config.backbone.update(init_cfg=None, norm_cfg=dict(type='BN'))
    frame = torch.randint(256, (3, *size)).byte()
    meta = dict(img_shape=size, ori_shape=size)
    steps = []
    for kind in (dict(type='mmood.OODEncoderDecoder', scores=scores), {}):
        torch.manual_seed(0)
        model = MODELS.build({**config, **kind}).to(device).eval()
        if 'maskomaly' in scores and kind:
            score = model.scores.fitted['maskomaly']
            score.mean_iou = torch.zeros(100, device=device).double()
            score.kept = torch.arange(4, device=device)
            score.fitted_for.copy_(score._settings())
            score.is_fitted.fill_(True)

        def step(model: torch.nn.Module = model) -> torch.Tensor:
            sample = SegDataSample(metainfo=dict(meta))
            batch = dict(inputs=[frame], data_samples=[sample])
            with torch.no_grad():
                found = model.test_step(batch)[0]
            return found.pred_sem_seg.data.float()[0, ::64, ::64]

        steps.append(step)
    return steps[0], steps[1]


def rows(device: str, runs: int, height: int) -> list[list]:
    """Lines of the table, of frames twice as wide as high."""
    return [
        measure(name, *testers(device, height, scores), runs, device)
        for name, scores in PAIRS.items()
    ]
