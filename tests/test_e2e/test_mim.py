"""mim and config inheritance from any folder, with the installed package."""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from helpers import (
    DOOD,
    ROOT,
    run,
    shell_options,
    tiny_options,
    tiny_seg_options,
)


def installed() -> bool:
    try:
        location = distribution('mmood').locate_file('mmood/.mim')
    except PackageNotFoundError:
        return False
    return Path(location).is_dir()


pytestmark = pytest.mark.skipif(
    not installed(), reason='needs mmood installed by `pip install .`'
)
MIM = Path(sys.executable).with_name('mim')
NAME = 'dfdd_faster-rcnn_r18_fpn_shapes.py'


def test_the_wheel_carries_configs_tools_and_index():
    mim = Path(distribution('mmood').locate_file('mmood/.mim'))
    for part in ('configs', 'tools'):
        files = {
            path.relative_to(ROOT / part)
            for path in (ROOT / part).rglob('*')
            if path.is_file() and path.suffix in ('.py', '.sh', '.yml', '.md')
        }
        assert files
        assert all((mim / part / path).is_file() for path in files)
    assert (mim / 'model-index.yml').is_file()
    assert os.access(mim / 'tools/dist_train.sh', os.X_OK)


@pytest.mark.parametrize('package', ['mmdet', 'mmood'])
def test_mim_trains_and_tests_from_any_folder(package, shapes, tmp_path):
    """By path with mmdet's tools; by inheritance with our own."""
    options = tiny_options(shapes)
    if package == 'mmdet':
        config = ROOT / 'configs/dfdd' / NAME
    else:
        config = tmp_path / 'mine.py'
        config.write_text(f"_base_ = 'mmood::dfdd/{NAME}'\n")
    rest = ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    work = ['--work-dir', tmp_path / 'work']
    run(MIM, 'train', package, config, *work, *rest, cwd=tmp_path)
    checkpoint = tmp_path / 'work/epoch_1.pth'
    output = run(
        MIM,
        *('test', package, config, '--checkpoint', checkpoint),
        *work,
        *(*rest, 'test_evaluator.score_threshold=0.05'),
        cwd=tmp_path,
    )
    assert '| near      | energy' in output
    assert '| far       | msp' in output


@pytest.mark.parametrize('package', ['mmseg', 'mmood'])
def test_mim_trains_and_tests_a_segmentor(
    package, shapes, segmentor, tmp_path
):
    """The same for DOoD, on the checkpoint of a plain segmentor."""
    if package == 'mmseg':
        config = ROOT / 'configs' / DOOD
    else:
        config = tmp_path / 'mine.py'
        config.write_text(f"_base_ = 'mmood::{DOOD}'\n")
    rest = shell_options(tiny_seg_options(shapes))
    work = ['--work-dir', tmp_path / 'work']
    run(
        *(MIM, 'train', package, config, *work, *rest),
        f'load_from={segmentor}',
        cwd=tmp_path,
    )
    checkpoint = tmp_path / 'work/iter_4.pth'
    output = run(
        *(MIM, 'test', package, config, '--checkpoint', checkpoint),
        *(*work, *rest),
        cwd=tmp_path,
    )
    for origin in ('near', 'far'):
        for score in ('energy', 'diffusion', 'compound'):
            assert re.search(rf'\| {origin} +\| {score} +\|', output)
