"""Stages of an experiment, and what their folders say about them.

A stage is a training and the tests of what it leaves. In its folder
``training`` or, once it is through, ``trained`` holds the options it was
trained with, ``TEST/options.json`` those of a test and ``TEST/metrics.json``
its result. These markers make an experiment resumable. No path in a file
counts, so that a folder may be moved.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmood.checkpoint import last_checkpoint
from mmood.ops import read_json, write_json
from mmood.ops.coco_records import shorten

TOOLS = Path(__file__).resolve().parents[2]
# What is done, and the command that does it.
Step = tuple[str, list[str]]


@dataclass(eq=False)
class Stage:
    """A training and its tests; the subclass knows the tools' arguments.

    Args:
        name: as progress lines have it.
        folder: of the training; ``run.log`` is there.
        needs: stages that must be finished before, earlier in the plan.
        tests: options of each test, by its folder's name.
    """

    name: str
    folder: Path
    needs: list[Stage] = field(default_factory=list)
    tests: dict[str, dict] = field(default_factory=dict)
    remedy = 'choose another out folder or tag, or delete that folder'

    @property
    def options(self) -> dict:
        """What a finished training must agree in."""
        raise NotImplementedError

    def command(self, tool: str, *rest: object, **options: object) -> list:
        """The call of a tool, with options beside those of the stage."""
        raise NotImplementedError

    def train(self) -> Iterator[Step]:
        """Steps to the last checkpoint; an interrupted training goes on."""
        yield 'training', self.command('train', '--resume')

    def test(self, test: str, checkpoint: Path) -> list[str]:
        """The command that leaves `metrics` of a test."""
        out, options = self.folder / test, self.tests[test]
        return self.command('test', checkpoint, '--out-dir', out, **options)

    @property
    def log(self) -> Path:
        return self.folder / 'run.log'

    @property
    def is_trained(self) -> bool:
        return (self.folder / 'trained').is_file()

    @property
    def finished(self) -> bool:
        files = [self.metrics(test).is_file() for test in self.tests]
        return all(files) if files else self.is_trained

    def metrics(self, test: str) -> Path:
        return self.folder / test / 'metrics.json'

    def steps(self) -> Iterator[Step]:
        """What is left to do; each is asked for when the last has ended."""
        if not self.is_trained:
            begun = self.folder / 'training'
            write_json(begun, self.options)
            yield from self.train()
            begun.replace(self.folder / 'trained')
        checkpoint = checkpoint_of(self.folder)
        for test, options in self.tests.items():
            path = self.metrics(test)
            if not path.is_file():
                write_json(path.with_name('options.json'), options)
                yield 'testing', self.test(test, checkpoint)
            if not path.is_file():
                raise ValueError(f'the test left no {path}')

    def check(self) -> None:
        """Raise ValueError if the folder holds the work of other options.

        Empty or missing markers are taken as they are, and a training that
        broke off before its first checkpoint does not count.
        """
        binds = (self.folder / 'last_checkpoint').is_file()
        for marker in ('trained', *['training'] * binds):
            compare(self.folder / marker, self.options, self.remedy)
        for test, options in self.tests.items():
            if self.metrics(test).is_file():
                marker = self.metrics(test).with_name('options.json')
                compare(marker, options, f'{self.remedy}, or set a test_tag')


def checkpoint_of(folder: Path) -> Path:
    """The last one, beside its marker; ValueError if there is none."""
    path = last_checkpoint(folder)
    if path is None:
        raise ValueError(
            f'there is no checkpoint in {folder}: train that first or, if it '
            'was removed, delete the folder to train it again'
        )
    return path


def call(tool: str, *arguments: object, processes: int = 1) -> list[str]:
    """The command of a tool, of several processes by torchrun."""
    command = [TOOLS / f'{tool}.py', *arguments]
    if processes > 1:
        number = f'--nproc_per_node={processes}'
        launch = ('-m', 'torch.distributed.run', '--standalone', number)
        command = [*launch, *command, '--launcher', 'pytorch']
    return [sys.executable, *map(str, command)]


def compare(marker: Path, options: dict, remedy: str) -> None:
    """Raise ValueError if a marker holds other options than these."""
    there, here = recorded(marker), as_read(options)
    keys = {**there, **here} if there is not None else {}
    values = {k: (there.get(k, 'unset'), here.get(k, 'unset')) for k in keys}
    changed = [
        f'{key} is {a!s:.80} there, {b!s:.80} here'
        for key, (a, b) in values.items()
        if a != b
    ]
    if changed:
        raise ValueError(
            f'{marker.parent} was made with other options '
            f'({"; ".join(changed)}): {remedy}'
        )


def recorded(marker: Path) -> dict | None:
    """The options in a marker, None if it is empty or missing."""
    if not marker.is_file() or not marker.read_text().strip():
        return None
    options = read_json(marker)
    if not isinstance(options, dict):
        raise ValueError(f'{marker} must hold a dict, got {shorten(options)}')
    return options


def as_read(options: dict) -> dict:
    """Options as they come back from a marker, nan and infinity as None."""
    return json.loads(json.dumps(options), parse_constant=lambda _: None)
