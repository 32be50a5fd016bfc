"""Made-up tests, and the report on them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from mmood.visualization.report import build_report, page
from report_helpers import (
    box_records,
    write_box_test,
    write_picture,
    write_run_facts,
)
from seg_helpers import evaluate_pixels, noisy_sample


@pytest.fixture
def light(monkeypatch):
    """In the place of plotly, whose five megabytes take time to read."""
    monkeypatch.setattr(page, '_plotly', lambda: 'var Plotly = {};')


@pytest.fixture
def box_test(tmp_path):
    """Function: make a test in a folder; its folder and what it found."""

    def make(name='run/ood', shift=2.0, images=6, seed=0, **names):
        rng = np.random.default_rng(seed)
        ood = names.pop('ood', ('far', 'near'))
        boxes = names.pop('boxes', 5)
        folder = tmp_path / name
        pictures = folder.parent / 'pictures'
        records = []
        for number, origin in enumerate(('id', *ood)):
            paths = [
                write_picture(pictures / f'{number}_{i}.png', number + i)
                for i in range(images)
            ]
            move = 0 if origin == 'id' else shift / number
            more = {} if origin == 'id' else dict(classes=('zebra', 'elk'))
            records += box_records(rng, origin, paths, boxes, move, **more)
        sets = write_box_test(folder, records, **names)
        write_run_facts(folder)
        return folder, sets

    return make


@pytest.fixture
def pixel_test(tmp_path):
    """Function: make a segmentation test; its folder and its samples."""

    def make(name='run/ood'):
        np.random.seed(0)
        torch.manual_seed(0)
        folder, samples = tmp_path / name, []
        for origin in ('far', 'near'):
            for number in range(3):
                path = tmp_path / f'{origin}/{number}.png'
                one = noisy_sample(
                    origin, write_picture(path, number), (20, 16)
                )
                classes = torch.randint(4, (1, 20, 16))
                one['pred_sem_seg'] = dict(data=classes)
                samples.append(one)
        evaluate_pixels(samples, out_dir=str(folder))
        write_run_facts(folder)
        return folder, samples

    return make


@pytest.fixture
def read(light):
    """Function: what the scripts of a report on folders read, its page."""

    def build(*folders, **options):
        text = build_report(folders, **options)
        block = re.search(r'id="data">(.*?)</script>', text, re.S)[1]
        return json.loads(block), text

    return build
