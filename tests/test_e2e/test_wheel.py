"""The wheel and the source archive: what is in them, and that they run.

Built without a network by the hooks that pip calls, from a copy of the
repository. The wheel is installed into an environment that has nothing else of
ours: the packages that mmood needs are lent to it, one link each.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from helpers import ROOT, run, shell_options, tiny_options

HOOKS = 'from setuptools import build_meta as b; b.build_{}({!r})'
DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
LEFT_OUT = ('.*', '__pycache__', 'build', 'data', 'work_dirs', '*.egg-info')


def build(source: Path, kind: str, out: Path) -> Path:
    run(sys.executable, '-c', HOOKS.format(kind, str(out)), cwd=source)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the repository, with what a run leaves behind."""
    out = tmp_path_factory.mktemp('source') / 'copy'
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(ROOT, out, ignore=ignore)
    for folder in ('configs/dfdd', 'mmood/ops', 'tools'):
        (out / folder / '__pycache__').mkdir()
        (out / folder / '__pycache__' / 'a.cpython-311.pyc').touch()
    return out


@pytest.fixture(scope='module')
def archive(source, tmp_path_factory) -> Path:
    return build(source, 'sdist', tmp_path_factory.mktemp('sdist'))


@pytest.fixture(scope='module')
def wheel(source, archive, tmp_path_factory) -> Path:
    return build(source, 'wheel', tmp_path_factory.mktemp('wheel'))


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob('*') if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in found}
    return {name for name in names if '__pycache__' not in name}


def test_the_wheel_has_the_package_and_its_mim_folder_only(source, wheel):
    expected = {f'mmood/{name}' for name in files(source / 'mmood')}
    for part in ('configs', 'tools'):
        expected |= {
            f'mmood/.mim/{part}/{name}' for name in files(source / part)
        }
    found = contents(wheel)
    about = {name for name in found if '.dist-info/' in name}
    expected.add('mmood/.mim/model-index.yml')
    assert set(found) - about == expected
    assert 'mmood/py.typed' in expected
    assert any(name.endswith('licenses/LICENSE') for name in about)
    with zipfile.ZipFile(wheel) as opened:
        info = opened.getinfo('mmood/.mim/tools/dist_train.sh')
    assert info.external_attr >> 16 & 0o111


def test_the_archive_has_what_builds_the_wheel(source, archive):
    with tarfile.open(archive) as opened:
        members = [one for one in opened.getmembers() if one.isfile()]
    names = {one.name.partition('/')[2] for one in members}
    tops = {name.partition('/')[0] for name in names}
    assert {'LICENSE', 'README.md', 'CHANGELOG.md'} <= tops
    assert not tops & {'tests', 'docs', 'projects', 'conftest.py'}
    for part in ('configs', 'mmood', 'requirements', 'tools'):
        expected = {f'{part}/{name}' for name in files(source / part)}
        assert {one for one in names if one.startswith(f'{part}/')} == expected


def test_the_archive_builds_the_same_wheel(archive, wheel, tmp_path):
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / 'open', filter='data')
    (folder,) = (tmp_path / 'open').iterdir()
    (tmp_path / 'out').mkdir()
    again = build(folder, 'wheel', tmp_path / 'out')
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel."""
    folder = tmp_path_factory.mktemp('environment')
    lent = folder / 'lent'
    lent.mkdir()
    for path in Path(sysconfig.get_path('purelib')).iterdir():
        if not path.name.lower().startswith(('mmood', '__')):
            (lent / path.name).symlink_to(path)
    venv.create(folder / 'venv', with_pip=False)
    python = folder / 'venv/bin/python'
    show = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    place = Path(run(python, '-c', show, cwd=folder).strip())
    (place / 'lent.pth').write_text(f'{lent}\n')
    pip = [sys.executable, '-m', 'pip', '--python', python, 'install']
    run(*pip, '--no-deps', '--no-index', '-q', wheel, cwd=folder)
    return python


def alone(python: Path, *arguments: object, cwd: Path) -> str:
    """Run the interpreter where no path leads to the repository."""
    assert ROOT not in (cwd, *cwd.parents)
    return run(python, *arguments, cwd=cwd, PYTHONPATH='')


SHOW = """
import sys
import mmood, mmood.runner
from mmood.recipe import load
assert load('mine.py').model.neck[1].type == 'mmood.DFDDNeck'
print(mmood.__file__, *sys.path, sep='\\n')
"""


def test_what_is_installed_needs_no_repository(python, tmp_path):
    """It is the wheel that is imported, and configs inherit from it."""
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmood::{DFDD}'\n")
    shown = alone(python, '-c', SHOW, cwd=tmp_path)
    where, *paths = (tmp_path / line for line in shown.splitlines())
    assert python.parents[1] in where.parents
    assert len(paths) > 3
    assert ROOT not in (path.resolve() for path in paths)


def test_the_installed_tools_train_and_test(python, shapes, tmp_path):
    """Called as `mim train mmood` and `mim test mmood` call them."""
    place = 'import mmood; print(mmood.__path__[0])'
    package = alone(python, '-c', place, cwd=tmp_path).split()[-1]
    tools = Path(package, '.mim/tools')
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmood::{DFDD}'\n")
    rest = ['--launcher', 'none', '--work-dir', 'work']
    rest += shell_options(tiny_options(shapes))
    alone(python, tools / 'train.py', 'mine.py', *rest, cwd=tmp_path)
    checkpoint = tmp_path / 'work/epoch_1.pth'
    rest.append('test_evaluator.score_threshold=0.05')
    output = alone(
        python, tools / 'test.py', 'mine.py', checkpoint, *rest, cwd=tmp_path
    )
    assert '| near' in output and '| energy' in output
