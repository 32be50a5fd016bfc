"""What tests share and pytest does not hand out."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared' / 'data'


def tiny_options(data: Path) -> dict:
    """Overrides that make a Shapes config tiny; also for the shell."""
    options = {
        'model.roi_head.bbox_head.fc_out_channels': 32,
        'model.train_cfg.rcnn.sampler.num': 16,
        'model.train_cfg.rpn_proposal.max_per_img': 30,
        'model.test_cfg.rpn.max_per_img': 20,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_begin': 2,
        'train_dataloader.batch_size': 4,
        'default_hooks.logger.interval': 1,
        'val_evaluator.ann_file': str(data / 'annotations/val.json'),
        'test_evaluator.ann_file': str(data / 'annotations/test.json'),
        'test_dataloader.dataset.datasets.0.data_root': str(data),
        'test_dataloader.dataset.datasets.1.data_root': str(data),
        'test_dataloader.dataset.datasets.2.data_root': str(data),
    }
    for loader in ('train', 'val'):
        options[f'{loader}_dataloader.dataset.data_root'] = str(data)
    for loader in ('train', 'val', 'test'):
        options[f'{loader}_dataloader.num_workers'] = 0
    options['train_dataloader.persistent_workers'] = False
    return options


def run(
    *command: object, check: bool = True, cwd: Path = ROOT, **env: str
) -> str:
    """Run a command, by default in the repository's root; its output."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={
            **os.environ,
            'PYTHONWARNINGS': 'ignore',
            'OMP_NUM_THREADS': '1',  # many small processes on few cores
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    if check:
        assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


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
