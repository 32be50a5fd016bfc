"""The same training on one CPU process and on two."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from helpers import ROOT, run_script

SCRIPT = ROOT / 'tests/test_e2e/train_cpu_ranks.py'
IMAGES = 4  # of all ranks in a step


def without_chance(cfg: Config) -> Config:
    """No flip, no batch statistics, no hook, in place."""
    cfg.model.backbone.norm_eval = True
    loader = cfg.train_dataloader
    loader.pop('batch_sampler', None)
    for part in loader.dataset.get('datasets', [loader.dataset]):
        part.pipeline = [
            t for t in part.pipeline if t.type != 'mmdet.RandomFlip'
        ]
    cfg.custom_hooks = []
    return cfg


def train_on_ranks(
    build: Callable[[Path, int], Config], folder: Path
) -> dict[int, list[dict]]:
    """Losses and weights of each rank of one, and of two, processes.

    ``build`` is told the work folder and the images of a rank in a step.
    """
    results = {}
    for ranks in (1, 2):
        cfg = build(folder / f'work{ranks}', IMAGES // ranks)
        for name in ('rpn', 'rcnn'):  # a DETR samples nothing
            if name in cfg.model.train_cfg:
                stage = cfg.model.train_cfg[name]
                stage.sampler.type = 'FirstSampler'  # of the script
        cfg.train_dataloader.batch_size = IMAGES // ranks
        cfg.launcher = 'pytorch' if ranks > 1 else 'none'
        path, out = folder / f'config{ranks}.py', folder / f'result{ranks}'
        cfg.dump(path)
        run_script(SCRIPT, path, out, ranks=ranks if ranks > 1 else 0)
        results[ranks] = [
            torch.load(f'{out}.{rank}', weights_only=True)
            for rank in range(ranks)
        ]
    return results


def train_copies(config: Config, folder: Path) -> dict[int, list[dict]]:
    """As `train_on_ranks`, of one config."""

    def build(work_dir, batch_size):
        cfg = copy.deepcopy(config)
        cfg.work_dir = str(work_dir)
        return cfg

    return train_on_ranks(build, folder)


def assert_equal_losses(results: dict[int, list[dict]], **close) -> None:
    """Each loss of one process is the mean of two, step by step."""
    for step, expected in enumerate(results[1][0]['losses']):
        for name, value in expected.items():
            ranks = [rank['losses'][step][name] for rank in results[2]]
            mean = sum(ranks) / len(ranks)
            assert mean == pytest.approx(value, **close), (step, name)


def assert_equal_states(
    results: dict[int, list[dict]], atol: float, rtol: float
) -> None:
    """Weights and buffers agree; queues up to the order within a class."""
    for name, value in results[1][0]['state'].items():
        for rank in results[2]:
            pair = [rank['state'][name], value]
            if name.endswith('queues.memory'):
                pair = [part.flatten(1).sort(1)[0] for part in pair]
            if value.is_floating_point():
                torch.testing.assert_close(
                    *pair, atol=atol, rtol=rtol, equal_nan=True, msg=name
                )
