"""What setup.cfg and the requirement files say of each other."""

from __future__ import annotations

import re
from collections import defaultdict
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from helpers import ROOT

FOLDER = ROOT / 'requirements'
SETUP = ConfigParser()
SETUP.read(ROOT / 'setup.cfg')
EXTRAS = {
    name: [ROOT / path for path in re.split(r'[,\s]+', files[5:]) if path]
    for name, files in SETUP['options.extras_require'].items()
}
# For those who develop mmood itself.
DEVELOPING = {'docs', 'tests'}
RANGES = sorted(set(FOLDER.glob('*.txt')) - {FOLDER / 'pinned.txt'})


def read(path: Path) -> list[Requirement]:
    lines = path.read_text().splitlines()
    return [Requirement(one) for one in lines if one and one[0] != '#']


def normal(requirement: Requirement) -> str:
    return re.sub(r'[-_.]+', '-', requirement.name).lower()


def ranges() -> dict[str, dict[str, SpecifierSet]]:
    """Of each package, what each file asks for."""
    found = defaultdict(dict)
    for path in RANGES:
        for one in read(path):
            found[normal(one)][path.name] = one.specifier
    return found


@pytest.mark.parametrize('name', EXTRAS)
def test_an_extra_lists_packages(name):
    assert all(files.startswith('file:') for files in
               SETUP['options.extras_require'].values())  # fmt: skip
    for path in EXTRAS[name]:
        assert read(path), path


def test_all_is_all_of_them():
    """But for what only developers need."""
    single = set(EXTRAS) - DEVELOPING - {'all'}
    expected = {path for name in single for path in EXTRAS[name]}
    assert set(EXTRAS['all']) == expected
    assert len(EXTRAS['all']) == len(expected)


def test_each_file_belongs_to_an_extra_or_to_the_installation():
    listed = {path for files in EXTRAS.values() for path in files}
    rest = {path.stem for path in set(FOLDER.glob('*.txt')) - listed}
    assert rest == {'build', 'pinned', 'runtime'}


@pytest.mark.parametrize('package', sorted(ranges()))
def test_files_agree_on_a_package(package):
    asked = ranges()[package]
    assert len(set(asked.values())) == 1, asked


@pytest.mark.parametrize('pin', read(FOLDER / 'pinned.txt'), ids=str)
def test_a_pin_lies_in_the_ranges(pin):
    (exact,) = pin.specifier
    assert exact.operator == '=='
    asked = ranges()[normal(pin)]
    assert asked, f'{pin} is pinned, and no file asks for it'
    for name, specifier in asked.items():
        assert exact.version in specifier, name


def test_metadata_and_page_say_the_same_of_python():
    """Which versions are tested; for the oldest the code is linted."""
    page = (ROOT / 'docs/en/get_started.md').read_text()
    page = ' '.join(page.split())
    classifiers = SETUP['metadata']['classifiers']
    tested = re.findall(r'Python :: (3\.\d+)', classifiers)
    assert tested
    for version in tested:
        assert f'The tests run with Python {version}.' in page
    oldest = SETUP['options']['python_requires'].removeprefix('>=')
    assert f'needs Python {oldest} or newer' in page
    target = f'target-version = "py{oldest.replace(".", "")}"'
    assert target in (ROOT / 'pyproject.toml').read_text()
