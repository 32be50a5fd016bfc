"""mim and config inheritance from any folder, with the installed package.

Each test runs the tools where mim looks for them, as mim calls them, and once
more by mim itself where openmim is installed: `make test-mim`.
"""

import re
import sys
from importlib.util import find_spec
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
from processes import run_script


def place_of(package: str) -> Path:
    """Where it is imported from."""
    (place,) = find_spec(package).submodule_search_locations
    return Path(place)


pytestmark = pytest.mark.skipif(
    not (place_of('mmood') / '.mim').is_dir(),
    reason='needs mmood from where `pip install .` puts it',
)
MIM = Path(sys.executable).with_name('mim')
DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'


def call_mim(folder: Path, verb: str, *arguments: object) -> str:
    """What mim prints in a folder: package, config, options."""
    return run(MIM, verb, *arguments, cwd=folder)


def call_tool(folder: Path, verb: str, package: str, config, *rest) -> str:
    """The same of the command that mim makes of these arguments."""
    if verb == 'test':
        at = rest.index('--checkpoint')
        rest = [rest[at + 1], *rest[:at], *rest[at + 2 :]]
    tool = place_of(package) / f'.mim/tools/{verb}.py'
    return run_script(folder, tool, config, '--launcher', 'none', *rest)


WITHOUT = pytest.mark.skipif(
    not MIM.exists(), reason='needs openmim: `make test-mim`'
)


@pytest.fixture(
    scope='module',
    params=[call_tool, pytest.param(call_mim, marks=WITHOUT)],
    ids=['tool', 'mim'],
)
def call(request):
    """Function: run a verb of mim in a folder; what it prints."""
    return request.param


@WITHOUT
def test_mim_finds_a_config_by_its_name(tmp_path):
    with pytest.raises(AssertionError, match='will use .*mmood/.mim/configs'):
        call_mim(tmp_path, 'train', 'mmood', Path(DFDD).name, '--no-option')


def inherited(folder: Path, config: str) -> Path:
    path = folder / 'mine.py'
    path.write_text(f"_base_ = 'mmood::{config}'\n")
    return path


def test_a_detector_from_any_folder(call, shapes, tmp_path):
    """By path with mmdet's tools; by inheritance our own one trains."""
    options = tiny_options(shapes)
    rest = ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    work = ['--work-dir', tmp_path / 'work']
    config = ROOT / 'configs' / DFDD
    call(tmp_path, 'train', 'mmdet', config, *work, *rest)
    checkpoint = ['--checkpoint', tmp_path / 'work/epoch_1.pth']
    rest.append('test_evaluator.score_threshold=0.05')
    output = call(tmp_path, 'test', 'mmdet', config, *checkpoint, *work, *rest)
    assert '| near      | energy' in output
    assert '| far       | msp' in output

    other = ['--work-dir', tmp_path / 'other']
    config = inherited(tmp_path, DFDD)
    call(tmp_path, 'train', 'mmood', config, *other, *rest)
    assert (tmp_path / 'other/epoch_1.pth').is_file()


@pytest.mark.parametrize('package', ['mmseg', 'mmood'])
def test_a_segmentor_from_any_folder(call, package, trained, tmp_path):
    """DOoD by what its training wrote, and by inheritance with our tool."""
    work_dir, rest = trained
    config, options = work_dir / Path(DOOD).name, []
    if package == 'mmood':
        config, options = inherited(tmp_path, DOOD), rest
    checkpoint = ['--checkpoint', work_dir / 'iter_4.pth']
    work = ['--work-dir', tmp_path, *options]
    output = call(tmp_path, 'test', package, config, *checkpoint, *work)
    for origin in ('near', 'far'):
        for score in ('energy', 'diffusion', 'compound'):
            assert re.search(rf'\| {origin} +\| {score} +\|', output)


def test_mmsegs_test_says_that_a_config_is_not_resolved(call, tmp_path):
    base = ROOT / 'configs/_base_'
    files = ['segmenter_vit_shapes.py', 'methods/posthoc_seg.py']
    config = tmp_path / 'mine.py'
    config.write_text(f'_base_ = {[str(base / name) for name in files]}')
    with pytest.raises(AssertionError, match='test mmood. or tools'):
        call(tmp_path, 'test', 'mmseg', config, '--checkpoint', 'none.pth')


@pytest.fixture(scope='module')
def trained(call, shapes, segmentor, tmp_path_factory) -> tuple[Path, list]:
    """DOoD on a plain segmentor's checkpoint: its folder, the options."""
    folder = tmp_path_factory.mktemp('mim')
    rest = shell_options(tiny_seg_options(shapes))
    work = ['--work-dir', folder, *rest, f'load_from={segmentor}']
    call(folder, 'train', 'mmseg', ROOT / 'configs' / DOOD, *work)
    return folder, rest
