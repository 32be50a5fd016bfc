"""Small detectors and data that several tests share."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope

import mmood.registry  # noqa: F401  (checkpoints load safely)
from helpers import (
    DOOD,
    ROOT,
    SEGMENTOR,
    run_here,
    run_tool,
    shell_options,
    tiny_options,
    tiny_seg_options,
)
from mmood.recipe import load
from quick import collect_less, read_and_format_less

read_and_format_less()


def pytest_collection_finish() -> None:
    collect_less()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``gpu`` where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip('needs a CUDA GPU'))


def start_afresh() -> None:
    """One thread, one seed, no history."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    # Runners of one second have one name, and would share history and log.
    MessageHub._instance_dict.clear()
    MMLogger._instance_dict.clear()
    # A `dropout` given to one attention is the default of all after it.
    defaults = inspect.signature(MultiheadAttention).parameters
    defaults['dropout_layer'].default['drop_prob'] = 0.0


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> Iterator[None]:
    """What tests share is made as in a new process, and leaves no scope."""
    if fixturedef.scope == 'function':
        return (yield)
    start_afresh()
    kept = DefaultScope._instance_dict
    DefaultScope._instance_dict = type(kept)()
    try:
        return (yield)
    finally:
        DefaultScope._instance_dict = kept


@pytest.fixture(autouse=True)
def _scope_and_seed():
    """mmdet's scope, as every config sets it."""
    start_afresh()
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> Path:
    """A tiny Shapes set, made by the tool."""
    out = tmp_path_factory.mktemp('data') / 'shapes'
    arguments = ('--out', out, '--size', 64, '--scale', 0.03)
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch, 'dataset_converters/shapes', *arguments)
    return out


@pytest.fixture(scope='session')
def segmentor(shapes, tmp_path_factory) -> Path:
    """The checkpoint of a tiny plain segmentor, by the tool."""
    work_dir = tmp_path_factory.mktemp('segmentor')
    options = shell_options(tiny_seg_options(shapes, SEGMENTOR))
    rest = (ROOT / 'configs' / SEGMENTOR, '--work-dir', work_dir, *options)
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch, 'train', *rest)
    return work_dir / 'iter_4.pth'


@pytest.fixture(scope='session')
def dood(shapes, segmentor, tmp_path_factory) -> tuple[Path, str]:
    """A tiny DOoD on it, by the tool: its checkpoint, what was printed."""
    work_dir = tmp_path_factory.mktemp('dood')
    rest = ('--work-dir', work_dir)
    output = run_tool('train', DOOD, *rest, data=shapes, load_from=segmentor)
    return work_dir / 'iter_4.pth', output


@pytest.fixture
def tiny_config():
    """Function: a Shapes config on given data, shrunk for seconds of CPU."""

    def build(name: str, data: Path, work_dir: Path, **options) -> Config:
        return shrink(name, tiny_options(data), work_dir, options)

    return build


@pytest.fixture
def tiny_seg_config():
    """The same for the segmentation configs."""

    def build(name: str, data: Path, work_dir: Path, **options) -> Config:
        tiny = tiny_seg_options(data, name)
        return shrink(name, tiny, work_dir, options)

    return build


def shrink(name: str, tiny: dict, work_dir: Path, options: dict) -> Config:
    cfg = load(ROOT / 'configs' / name, {**tiny, **options})
    cfg.work_dir = str(work_dir)
    cfg.launcher = 'none'
    # A visualizer lives on under its name, with its first log folder.
    cfg.visualizer.name = str(work_dir)
    return cfg
