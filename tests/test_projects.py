"""What holds for every study under projects/."""

import re

import pytest

from helpers import ROOT, config_depth
from test_layers import imported

PROJECTS = sorted(p.parent for p in ROOT.glob('projects/*/README.md'))
CONFIGS = sorted(ROOT.glob('projects/*/configs/*.py'))
SOURCES = sorted(ROOT.glob('projects/*/**/*.py'))


def relative(path):
    return str(path.relative_to(ROOT / 'projects'))


def test_both_projects_are_here_with_page_configs_and_tests():
    names = {path.name for path in PROJECTS}
    assert {'incremental_detection', 'open_set_detection'} <= names
    for path in PROJECTS:
        assert list(path.glob('configs/*.py')) and list(
            path.glob('tests/test_*.py')
        )


@pytest.mark.parametrize('path', SOURCES, ids=relative)
def test_projects_do_not_know_each_other(path):
    own = relative(path).split('/')[0]
    names = imported(path.read_text(), f'projects.{own}.x')
    others = {n for n in names if n.startswith('projects.')}
    assert {n.split('.')[1] for n in others} <= {own}


@pytest.mark.parametrize(
    'path', sorted(ROOT.glob('mmood/**/*.py')), ids=lambda path: path.stem
)
def test_the_package_does_not_know_the_projects(path):
    assert not re.search(r'\bprojects[./]', path.read_text().split('"""')[-1])
    names = imported(path.read_text(), 'mmood.x')
    assert not any(name.startswith('projects') for name in names)


@pytest.mark.parametrize('path', CONFIGS, ids=relative)
def test_config_is_short_shallow_and_on_the_page(path):
    assert len(path.read_text().splitlines()) <= 40
    page = (path.parents[1] / 'README.md').read_text()
    assert f'](configs/{path.name})' in page
    # Itself, a base of the project, two levels of ours.
    assert config_depth(path) <= 4


def test_no_file_is_in_two_projects():
    """Nothing is copied: no long line block occurs in both."""
    blocks = {}
    for path in SOURCES:
        lines = [line.strip() for line in path.read_text().splitlines()]
        lines = [line for line in lines if len(line) > 8]
        for i in range(len(lines) - 7):
            block = '\n'.join(lines[i : i + 8])
            blocks.setdefault(block, set()).add(relative(path).split('/')[0])
    shared = [block for block, names in blocks.items() if len(names) > 1]
    assert shared == []
