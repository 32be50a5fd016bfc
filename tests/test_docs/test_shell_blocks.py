"""The shell blocks of the pages name commands, files and options that exist.

Nothing is run: each tool parses its command line, and stops there.
"""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from doc_blocks import blocks
from helpers import ROOT

BLOCKS = blocks('bash', 'shell')
# Those of a shell and of every system, and of an extra.
SHELL = {'.', 'for', 'done', 'export', 'mkdir', 'ln', 'cd', 'pip', 'make'}
SHELL |= {'fiftyone'}
SETTING = re.compile(r'(\w+)=(.*)')
# What mim and torchrun take for themselves.
LAUNCH = {'--gpus', '--launcher', '--gpus-per-node', '--cpus-per-task'}


# A line's end within quotes, and what stands for anything.
BREAK, WORD = '\0', 'VALUE'
# For what the pages write in capitals.
MEANT = {'OPTIONS': 'key=value'}


class Parsed(BaseException):
    """A tool has understood its command line; nothing catches this."""


def commands(code: str, values: dict[str, str]) -> list[list[str]]:
    """The words of each command, with the values of variables.

    Those that the code sets are added.
    """
    found = []
    code = re.sub(r'\\\n\s*', ' ', code)
    code = re.sub(r'"[^"]*"', lambda m: m[0].replace('\n', BREAK), code)
    for line in code.splitlines():
        line = re.sub(r'\$\([^()]*\)', WORD, line)
        for name in sorted(values, key=len, reverse=True):
            line = re.sub(rf'\$\{{?{name}\b\}}?', values[name], line)
        line = re.sub(r'\$\{?\w+\}?', WORD, line)
        words = [
            MEANT.get(word, word) for word in shlex.split(line, comments=True)
        ]
        while words and (setting := SETTING.fullmatch(words[0])):
            values[setting[1]] = setting[2]
            words = words[1:]
        if words[:1] == ['for']:  # once, with the first value
            values[words[1]] = words[3].rstrip(';')
        if words:
            found.append([word.replace(BREAK, '\n') for word in words])
    return found


def all_commands() -> Iterator[pytest.param]:
    """Of each page in turn, whose variables stay."""
    pages = defaultdict(dict)
    for block in BLOCKS:
        for i, words in enumerate(commands(block.code, pages[block.page])):
            yield pytest.param(words, id=f'{block}-{i}')


def test_commands_are_taken_apart():
    code = 'CONFIG=a.py\nX=1 tool $CONFIG \\\n    ${CONFIG}_2 "b c" # d\n'
    values = {}
    assert commands(code, values) == [['tool', 'a.py', 'a.py_2', 'b c']]
    assert commands('a $(cat b) $C $X', values) == [['a', WORD, WORD, '1']]
    assert commands('for A in b c; do\n  d $A\ndone\n', {})[1] == ['d', 'b']
    assert commands('a "b\nc"', {}) == [['a', 'b\nc']]


@pytest.mark.parametrize('words', all_commands())
def test_a_command_is_understood(words, monkeypatch):
    check_files(words)
    first, *rest = words
    if first in ('python', 'torchrun'):
        check_python(monkeypatch, [w for w in rest if 'nproc' not in w])
    elif first == 'mim':
        check_mim(monkeypatch, *rest)
    elif first.startswith('tools/'):
        check_script(monkeypatch, first, rest)
    elif first == 'make':
        check_make(rest)
    elif first == 'pip':
        check_pip(rest)
    else:
        assert first in SHELL


def check_files(words):
    """What is named in the repository is there."""
    for word in words:
        name = word.rpartition('=')[2].strip('\'"[]')
        if re.match(r'(configs|projects|requirements|tools)/[\w./-]+$', name):
            assert (ROOT / name).exists(), name


def parse(patch: pytest.MonkeyPatch, script: Path, rest: list[str]) -> None:
    """Have a script parse these words."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(*args, **options):
        parse_args(*args, **options)
        raise Parsed

    patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
    patch.setattr(sys, 'argv', [str(script), *rest])
    patch.syspath_prepend(str(script.parent))
    with pytest.raises(Parsed):
        runpy.run_path(str(script), run_name='__main__')


def check_python(patch, words):
    if words[0] == '-c':
        compile(words[1], 'command', 'exec')
    elif words[0] == '-m':
        assert find_spec(words[1])
    else:
        # From a folder of the data.
        script = re.sub(r'^(\.\./)+', '', words[0])
        parse(patch, ROOT / script, words[1:])


def check_mim(patch, verb, package, config, *rest):
    """mim hands on what it does not take, a checkpoint as second word."""
    rest = list(rest)
    for name in LAUNCH & set(rest):
        place = rest.index(name)
        del rest[place : place + 2]
    if verb == 'test':
        place = rest.index('--checkpoint')
        config = [config, rest[place + 1]]
        del rest[place : place + 2]
    else:
        config = [config]
    folder = ROOT / 'tools'
    if package != 'mmood':
        (place,) = find_spec(package).submodule_search_locations
        folder = Path(place) / '.mim/tools'
    parse(patch, folder / f'{verb}.py', [*config, *rest])


def check_script(patch, name, rest):
    """Launchers hand on what stands behind their own words."""
    path = ROOT / name
    assert path.stat().st_mode & 0o100, f'{name} is not executable'
    assert 'train.py' in path.read_text() or 'test.py' in path.read_text()
    tool = 'train.py' if 'train' in name else 'test.py'
    own = 2 if 'slurm' in name else 0
    rest = rest[own:]
    if 'dist' in name:
        del rest[1 if tool == 'train.py' else 2]
    parse(patch, ROOT / 'tools' / tool, rest)


def check_make(words):
    text = (ROOT / 'Makefile').read_text()
    for word in words:
        if '=' in word:
            assert f'{word.partition("=")[0]} ?=' in text
        else:
            assert re.search(rf'^{word}:', text, re.M), word


def check_pip(words):
    setup = (ROOT / 'setup.cfg').read_text()
    assert words[0] == 'install'
    for word in words:
        for extra in re.findall(r'\[(\w+)\]', word):
            assert f'\n{extra} = ' in setup, extra
