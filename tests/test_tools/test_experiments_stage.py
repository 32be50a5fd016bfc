"""What a stage's folder says: options, results, what is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments.stage import Stage, checkpoint_of, compare, recorded

from mmood.ops import write_json


class Fake(Stage):
    options = {'x': 1}

    def train(self):
        yield 'training', ['train']
        (self.folder / 'e.pth').touch()
        (self.folder / 'last_checkpoint').write_text('/elsewhere/e.pth')

    def test(self, test, checkpoint):
        return ['test', test, str(checkpoint)]


@pytest.fixture
def stage(tmp_path) -> Fake:
    return Fake('name', tmp_path / 'run', tests={'ood': {'t': 2}, '.': {}})


def left(stage: Stage, done: int = 9) -> list[str]:
    """The first words of so many steps; each test leaves its result."""
    words = []
    for _, command in stage.steps():
        words.append(' '.join(command[:2]))
        if len(words) > done:
            break
        if command[0] == 'test':
            stage.metrics(command[1]).write_text('{}')
    return words


def test_steps_leave_markers_and_are_done_once(stage):
    assert left(stage, done=0) == ['train']
    assert recorded(stage.folder / 'training') == {'x': 1}
    assert not stage.is_trained
    assert left(stage, done=1) == ['train', 'test ood']
    assert recorded(stage.folder / 'trained') == {'x': 1}
    assert not (stage.folder / 'training').exists()
    assert recorded(stage.folder / 'ood/options.json') == {'t': 2}
    assert not stage.finished
    assert left(stage) == ['test ood', 'test .']
    assert stage.finished and left(stage) == []
    assert checkpoint_of(stage.folder) == stage.folder / 'e.pth'
    stage.check()


def test_a_test_that_leaves_nothing_is_an_error(stage):
    steps = stage.steps()
    assert [next(steps)[0] for _ in range(2)] == ['training', 'testing']
    with pytest.raises(ValueError, match='left no .*/run/ood/metrics.json'):
        next(steps)


def test_a_lost_checkpoint_is_an_error(stage):
    left(stage, done=1)
    (stage.folder / 'e.pth').unlink()
    with pytest.raises(ValueError, match='no checkpoint in .*run: train that'):
        left(stage)


def test_other_options_are_told_apart(stage, tmp_path):
    left(stage)
    other = Fake('other', stage.folder, tests={'ood': {'t': 3}})
    with pytest.raises(ValueError, match='ood was made .*t is 2 there, 3 he'):
        other.check()
    other.tests, other.options = {'ood': {'t': 2}}, {'y': 'z' * 100}
    with pytest.raises(ValueError, match='x is 1 there, unset here') as error:
        other.check()
    shown = 'z' * 80 + ' here'
    assert f'y is unset there, {shown}' in str(error.value)


def test_nan_and_infinity_are_as_they_are_read(tmp_path):
    options = {'a': float('nan'), 'b': [float('inf'), (1, 2)]}
    write_json(tmp_path / 'marker', options)
    compare(tmp_path / 'marker', options, 'remedy')
    with pytest.raises(ValueError, match='a is None there, 1.0 here'):
        compare(tmp_path / 'marker', {**options, 'a': 1.0}, 'remedy')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"x": 1', 'is not valid JSON'),
        ('[1]', r'must hold a dict, got \[1\]'),
        ('0', 'must hold a dict, got 0'),
    ],
)
def test_a_half_written_marker_is_named(stage, text, message):
    left(stage)
    (stage.folder / 'trained').write_text(text)
    with pytest.raises(ValueError, match=f'run/trained {message}'):
        stage.check()


def test_empty_markers_are_taken_as_they_are(stage):
    left(stage)
    other = Fake('other', stage.folder, tests={'ood': {'t': 3}})
    other.options = {}
    for marker in ('trained', 'ood/options.json'):
        Path(stage.folder, marker).write_text('\n')
    other.check()
