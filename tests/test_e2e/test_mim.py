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
DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'


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


def mim(folder: Path, command: str, *arguments: object) -> str:
    """What a call of mim in a folder prints."""
    return run(MIM, command, *arguments, cwd=folder)


def inherited(folder: Path, config: str) -> Path:
    path = folder / 'mine.py'
    path.write_text(f"_base_ = 'mmood::{config}'\n")
    return path


def test_a_detector_from_any_folder(shapes, tmp_path):
    """By path with mmdet's tools; by inheritance our own one trains."""
    options = tiny_options(shapes)
    rest = ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    work = ['--work-dir', tmp_path / 'work']
    config = ROOT / 'configs' / DFDD
    mim(tmp_path, 'train', 'mmdet', config, *work, *rest)
    checkpoint = ['--checkpoint', tmp_path / 'work/epoch_1.pth']
    rest.append('test_evaluator.score_threshold=0.05')
    output = mim(tmp_path, 'test', 'mmdet', config, *checkpoint, *work, *rest)
    assert '| near      | energy' in output
    assert '| far       | msp' in output

    other = ['--work-dir', tmp_path / 'other']
    config = inherited(tmp_path, DFDD)
    mim(tmp_path, 'train', 'mmood', config, *other, *rest)
    assert (tmp_path / 'other/epoch_1.pth').is_file()


@pytest.mark.parametrize('package', ['mmseg', 'mmood'])
def test_a_segmentor_from_any_folder(package, trained, tmp_path):
    """DOoD by what its training wrote, and by inheritance with our tool."""
    work_dir, rest = trained
    config, options = work_dir / Path(DOOD).name, []
    if package == 'mmood':
        config, options = inherited(tmp_path, DOOD), rest
    checkpoint = ['--checkpoint', work_dir / 'iter_4.pth']
    work = ['--work-dir', tmp_path, *options]
    output = mim(tmp_path, 'test', package, config, *checkpoint, *work)
    for origin in ('near', 'far'):
        for score in ('energy', 'diffusion', 'compound'):
            assert re.search(rf'\| {origin} +\| {score} +\|', output)


def test_mmsegs_test_says_that_a_config_is_not_resolved(tmp_path):
    base = ROOT / 'configs/_base_'
    files = ['segmenter_vit_shapes.py', 'methods/posthoc_seg.py']
    config = tmp_path / 'mine.py'
    config.write_text(f'_base_ = {[str(base / name) for name in files]}')
    with pytest.raises(AssertionError, match='test mmood. or tools'):
        mim(tmp_path, 'test', 'mmseg', config, '--checkpoint', 'none.pth')


@pytest.fixture(scope='module')
def trained(shapes, segmentor, tmp_path_factory) -> tuple[Path, list]:
    """DOoD on a plain segmentor's checkpoint: its folder, the options."""
    folder = tmp_path_factory.mktemp('mim')
    rest = shell_options(tiny_seg_options(shapes))
    work = ['--work-dir', folder, *rest, f'load_from={segmentor}']
    mim(folder, 'train', 'mmseg', ROOT / 'configs' / DOOD, *work)
    return folder, rest
