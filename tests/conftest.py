"""Small detectors and data that several tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmood.registry  # noqa: F401  (checkpoints load safely)
from helpers import ROOT, run, tiny_options


@pytest.fixture(autouse=True)
def _scope_and_seed():
    """mmdet's scope, as every config sets it, and one seed for all."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> Path:
    """A tiny Shapes set, made by the tool."""
    out = tmp_path_factory.mktemp('data') / 'shapes'
    tool = ROOT / 'tools' / 'dataset_converters' / 'shapes.py'
    run(sys.executable, tool, '--out', out, '--size', 64, '--scale', 0.03)
    return out


@pytest.fixture
def tiny_config():
    """Function: a Shapes config on given data, shrunk for seconds of CPU."""

    def build(name: str, data: Path, work_dir: Path, **options) -> Config:
        cfg = Config.fromfile(ROOT / 'configs' / name)
        cfg.merge_from_dict(tiny_options(data))
        cfg.merge_from_dict(options)
        cfg.work_dir = str(work_dir)
        cfg.launcher = 'none'
        # A visualizer lives on under its name, with its first log folder.
        cfg.visualizer.name = str(work_dir)
        return cfg

    return build
