"""DFDD and VOS against a plain Faster R-CNN, blur against plain blurring.

Random weights and images: time does not depend on them. Run by
``benchmark.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from timing import compare

from mmood.diffusion import BlurDiffusion
from mmood.ops import gaussian_kernel1d
from mmood.recipe import load
from mmood.registry import MODELS

SCORES = ['energy']  # none that wants a fit
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PLAIN = CONFIGS / 'posthoc/faster-rcnn_r50_fpn_18k_voc.py'
DFDD = CONFIGS / 'dfdd/dfdd_faster-rcnn_r50_fpn_18k_voc.py'
VOS = CONFIGS / 'vos/vos_faster-rcnn_r50_fpn_18k_voc.py'


def build_model(path: Path, device: str) -> torch.nn.Module:
    cfg = load(path, {'model.backbone.init_cfg': None, 'ood.scores': SCORES})
    if cfg.model.roi_head.get('outliers', {}).get('start_share'):
        outliers = cfg.model.roi_head.outliers
        outliers.update(start_share=None, queue_size=10)  # from the start
    torch.manual_seed(0)
    return MODELS.build(cfg.model).to(device)


def build_twins(device: str) -> list[torch.nn.Module]:
    """DFDD, VOS and a plain detector with the same weights and boxes."""
    plain, *ours = (build_model(path, device) for path in (PLAIN, DFDD, VOS))
    for model in ours:
        is_list = isinstance(model.neck, torch.nn.Sequential)
        state = {
            key.replace('neck.', 'neck.0.') if is_list else key: value
            for key, value in plain.state_dict().items()
        }
        assert not model.load_state_dict(state, strict=False).unexpected_keys
    return [*ours, plain]


def make_batch(count: int, size: int) -> dict:
    """Images of noise with ten boxes each, as a data loader gives them."""
    torch.manual_seed(1)
    samples = []
    for i in range(count):
        low = torch.rand(10, 2) * (size * 0.6)
        boxes = torch.cat([low, low + 32 + torch.rand(10, 2) * 0.3 * size], 1)
        meta = dict(
            img_id=i,
            img_shape=(size, size),
            ori_shape=(size, size),
            scale_factor=(1.0, 1.0),
        )
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.randint(20, (10,))
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
        samples.append(sample)
    images = [
        torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
        for _ in range(count)
    ]
    return dict(inputs=images, data_samples=samples)


def tester(model: torch.nn.Module, batch: dict) -> Callable:
    def step() -> None:
        model.eval()
        with torch.no_grad():
            model.test_step(copy.deepcopy(batch))

    return step


def trainer(model: torch.nn.Module, batch: dict) -> Callable:
    optimizer = dict(type='SGD', lr=1e-6, momentum=0.9)
    wrapper = build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=optimizer)
    )

    def step() -> None:
        torch.manual_seed(2)
        model.train()
        model.train_step(copy.deepcopy(batch), wrapper)

    return step


def blurs(device: str) -> tuple[Callable, Callable]:
    """F_T of the finest map of a 512 px image: composed, and in 5 steps."""
    diffusion = BlurDiffusion()
    x = torch.randn(1, 256, 128, 128, device=device)
    kernels = []
    for sigma in diffusion.sigmas:
        row = gaussian_kernel1d(sigma)
        kernel = torch.outer(row, row).to(x).expand(256, 1, 5, 5)
        kernels.append(kernel.contiguous())

    def steps() -> None:
        y = x
        for kernel in kernels:
            y = F.conv2d(y, kernel, padding=2, groups=256)

    return (lambda: diffusion.degrade(x)), steps


def rows(device: str, runs: int, size: int, batch_size: int) -> list[list]:
    """Lines of the table: blur, training step, inference."""
    table = [compare('blur F_T', *blurs(device), 3 * runs, device)]
    with DefaultScope.overwrite_default_scope('mmdet'):
        dfdd, vos, plain = build_twins(device)
        single, batch = make_batch(1, size), make_batch(batch_size, size)
        for name, model in (('DFDD', dfdd), ('VOS', vos)):
            steps = [trainer(part, batch) for part in (model, plain)]
            row = compare(f'training step, {name}', *steps, runs, device)
            table.append(row)
        steps = [tester(model, single) for model in (dfdd, plain)]
        table.append(compare('inference, DFDD', *steps, runs, device))
    return table
