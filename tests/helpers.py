"""What tests share and pytest does not hand out."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

import processes
from processes import QUIET

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared' / 'data'
# The segmentation configs that the tests run.
SEGMENTOR = 'posthoc/segmenter_vit_1500_shapes.py'
DOOD = 'dood/dood_segmenter_vit_1k_shapes.py'


def tiny_options(data: Path) -> dict:
    """Overrides that make a Shapes config tiny; also for the shell."""
    return {
        'data_root': f'{data}/',
        'max_epochs': 1,
        'warmup': '1/2',
        'model.roi_head.bbox_head.fc_out_channels': 32,
        'model.train_cfg.rcnn.sampler.num': 16,
        'model.train_cfg.rpn_proposal.max_per_img': 30,
        'model.test_cfg.rpn.max_per_img': 20,
        'train_dataloader.batch_size': 4,
        'train_dataloader.persistent_workers': False,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
        'test_dataloader.num_workers': 0,
        'default_hooks.logger.interval': 1,
    }


def tiny_seg_options(data: Path, name: str = DOOD) -> dict:
    """The same for the segmentation configs: four steps, width 32."""
    options = {
        'data_root': f'{data}/',
        'crop_size': (64, 64),
        'width': 32,
        'max_iters': 4,
        'max_fit_images': 16,
        'model.backbone.num_layers': 2,
        'model.backbone.num_heads': 2,
        'train_dataloader.batch_size': 6,
        'train_dataloader.persistent_workers': False,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
        'test_dataloader.num_workers': 0,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': 2,
    }
    if name != SEGMENTOR:
        options['probed_channels'] = 32
        options['ood.scores.1.timesteps'] = 3
    return options


def shell_options(options: dict) -> list[str]:
    """Overrides of a config as arguments of a tool."""
    values = {
        key: str(value).replace(' ', '')
        if isinstance(value, (list, tuple))
        else value
        for key, value in options.items()
    }
    return ['--cfg-options', *(f'{k}={v}' for k, v in values.items())]


def run(
    *command: object, check: bool = True, cwd: Path = ROOT, **env: str
) -> str:
    """Launch a command, by default in the repository's root; its output.

    For scripts of ours `run_script` is quicker.
    """
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **QUIET, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    if check:
        assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def run_script(script: Path | str, *arguments: object, **options) -> str:
    """Run a script like `run`, but in a process whose imports are done.

    With ``ranks=2`` in two processes, as torchrun does.
    """
    return processes.run_script(ROOT, ROOT / script, *arguments, **options)


def run_tool(
    name: str, config: str, *rest: object, data: Path, ranks=0, **more
) -> str:
    """Run a tool on a segmentation config that is shrunk; its output."""
    options = shell_options({**tiny_seg_options(data, config), **more})
    rest = (ROOT / 'configs' / config, *rest, *options)
    return run_script(f'tools/{name}.py', *rest, ranks=ranks)


def run_here(patch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    """Run a tool in this process, which saves the time of the imports."""
    path = str(ROOT / f'tools/{name}.py')
    patch.setattr(sys, 'argv', [path, *map(str, arguments)])
    runpy.run_path(path, run_name='__main__')


def load_weights(path: Path) -> dict:
    return torch.load(path, weights_only=True)['state_dict']


def equal_weights(state: dict, other: dict, prefix: str = '') -> bool:
    """Whether those of the second, under a prefix, are bit-equal."""
    names = [name for name in other if name.startswith(prefix)]
    assert names
    return all(torch.equal(state[name], other[name]) for name in names)


def assert_near(found, expected, rtol: float = 1e-4, atol: float = 1e-5):
    """Tensors or arrays of two computations, which rounding tells apart.

    Other kernels, batches and threads add in another order: bits are equal
    where numbers were copied, never where they were computed twice.
    """
    pair = torch.as_tensor(found), torch.as_tensor(expected)
    torch.testing.assert_close(*pair, rtol=rtol, atol=atol, equal_nan=True)


def assert_equal_tables(one: list[str], two: list[str], **close) -> None:
    """Rows of two printed tables: the same words, nearly the same numbers."""
    assert len(one) == len(two)
    number = re.compile(r'-?\d+\.?\d*')
    for a, b in zip(one, two):
        assert number.sub('', a).split() == number.sub('', b).split()
        values = [list(map(float, number.findall(row))) for row in (a, b)]
        assert values[0] == pytest.approx(values[1], **close)


def logged_losses(work_dir: Path) -> list[float]:
    """Losses of the iterations, from the log's machine-readable file."""
    rows = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if 'loss' in row:
                rows[row['iter']] = row['loss']
    return [rows[number] for number in sorted(rows)]


def content_noise(self, x0: torch.Tensor) -> tuple:
    """`DenoisingLoss._perturbation` that follows from the features alone.

    Features that differ by rounding get nearly the same noise, and the same
    times: those of their largest and least channel.
    """
    rows = x0.reshape(len(x0), -1)
    times = (37 * rows.argmax(1) + 101 * rows.argmin(1)) % 1000
    return times, 1.4 * torch.sin(20 * x0)


def write_coco(
    folder: Path, boxes: list[list[list[float]]], categories: list[str]
) -> Path:
    """A COCO set of 48 px noise images; box lists are per image, class 1."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i, image_boxes in enumerate(boxes, start=1):
        name = f'{i}.png'
        pixels = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), pixels)
        images.append(dict(id=i, file_name=name, width=48, height=48))
        for box in image_boxes:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                )
            )
    content = dict(
        images=images,
        annotations=annotations,
        categories=[
            dict(id=i, name=n) for i, n in enumerate(categories, start=1)
        ],
    )
    path = folder / 'ann.json'
    path.write_text(json.dumps(content))
    return path


def config_depth(path: Path) -> int:
    """Levels of inheritance among our own configs, itself included."""
    found = Config._get_base_files(str(path))
    own = [base for base in found if '::' not in base]
    return 1 + max((config_depth(path.parent / b) for b in own), default=0)
