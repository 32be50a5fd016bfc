"""The shell blocks of the pages name commands, files and options that exist.

Nothing is run: each tool parses its command line, and stops there.
"""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from doc_blocks import blocks
from helpers import ROOT

BLOCKS = blocks('bash', 'shell')
# Those of a shell and of every system.
SHELL = {'.', 'for', 'done', 'export', 'mkdir', 'ln', 'cd', 'pip', 'make'}
SETTING = re.compile(r'(\w+)=(.*)')
# What mim and torchrun take for themselves.
LAUNCH = {'--gpus', '--launcher', '--gpus-per-node', '--cpus-per-task'}


class Parsed(BaseException):
    """A tool has understood its command line; nothing catches this."""


def commands(code: str) -> list[list[str]]:
    """The words of each command, variables filled in."""
    values: dict[str, str] = {}
    found = []
    code = re.sub(r'\\\n\s*', ' ', code)
    quoted = re.sub(r'"[^"]*"', lambda m: m[0].replace('\n', ' '), code)
    for line in quoted.splitlines():
        line = re.sub(r'\$\([^()]*\)', 'VALUE', line)
        for name in sorted(values, key=len, reverse=True):
            line = re.sub(rf'\$\{{?{name}\b\}}?', values[name], line)
        line = re.sub(r'\$\{?\w+\}?', 'VALUE', line)
        words = shlex.split(line, comments=True)
        while words and (setting := SETTING.fullmatch(words[0])):
            values[setting[1]] = setting[2]
            words = words[1:]
        if words:
            found.append(words)
    return found


COMMANDS = [
    pytest.param(words, id=f'{block}-{i}')
    for block in BLOCKS
    for i, words in enumerate(commands(block.code))
]


def test_commands_are_taken_apart():
    code = 'CONFIG=a.py\nX=1 tool $CONFIG \\\n    ${CONFIG}_2 "b c" # d\n'
    assert commands(code) == [['tool', 'a.py', 'a.py_2', 'b c']]
    assert commands('a $(cat b) $C') == [['a', 'VALUE', 'VALUE']]


@pytest.mark.parametrize('words', COMMANDS)
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
        parse(patch, ROOT / words[0], words[1:])


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
