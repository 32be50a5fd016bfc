"""Speed ratios against a plain Faster R-CNN and against plain blurring.

Each pair runs in turns, A B A B ..., in one process; the figure is the
median of the ratios of neighbours, so that a machine whose speed drifts
does not matter. Random weights and images: time does not depend on them.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from tabulate import tabulate
from tqdm import trange

from mmood.diffusion import BlurDiffusion
from mmood.ops import gaussian_kernel1d
from mmood.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PLAIN = CONFIGS / 'posthoc/faster-rcnn_r50_fpn_18k_voc.py'
DFDD = CONFIGS / 'dfdd/dfdd_faster-rcnn_r50_fpn_18k_voc.py'


def compare(
    name: str, ours: Callable, other: Callable, runs: int, device: str
) -> list:
    """Medians of both, in ms, and of the ratio ours / other."""
    times = np.zeros((runs, 2))
    for i in trange(-2, runs, desc=name):
        for j, function in enumerate((ours, other)):
            seconds = timed(function, device)
            if i >= 0:
                times[i, j] = seconds
    ratio = np.median(times[:, 0] / times[:, 1])
    ours_ms, other_ms = 1000 * np.median(times, 0)
    return [name, ours_ms, other_ms, ratio]


def timed(function: Callable, device: str) -> float:
    synchronize = torch.cuda.synchronize if device == 'cuda' else bool
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def build_model(path: Path, device: str) -> torch.nn.Module:
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model).to(device)


def build_pair(device: str) -> list[torch.nn.Module]:
    """DFDD and its plain twin with the same weights, so the same boxes."""
    ours, plain = (build_model(path, device) for path in (DFDD, PLAIN))
    state = {
        key.replace('neck.', 'neck.0.'): value
        for key, value in plain.state_dict().items()
    }
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected and all('neck.1.' in key for key in missing)
    return [ours, plain]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--size', type=int, default=512, help='pixels')
    parser.add_argument('--runs', type=int, default=15)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    device, runs = args.device, args.runs
    rows = [compare('blur F_T', *blurs(device), 3 * runs, device)]
    with DefaultScope.overwrite_default_scope('mmdet'):
        models = build_pair(device)
        single = make_batch(1, args.size)
        batch = make_batch(args.batch_size, args.size)
        steps = [trainer(model, batch) for model in models]
        rows.append(compare('training step', *steps, runs, device))
        steps = [tester(model, single) for model in models]
        rows.append(compare('inference', *steps, runs, device))
    headers = ('', 'ours (ms)', 'plain (ms)', 'ours / plain')
    print(
        tabulate(rows, headers, 'github', floatfmt=('', '.1f', '.1f', '.3f'))
    )
    print(
        f'R-50 FPN, {args.size} px, {args.batch_size} images per training '
        f'step, {runs} runs, {device}, {torch.get_num_threads()} threads'
    )


if __name__ == '__main__':
    main()
