"""Parts of a method that waited until the training was over."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmood.hooks import IdlePartsHook
from mmood.ops import Activity


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def runner(*counts, iteration=0):
    model = nn.Sequential(*(Activity(f'part {i}') for i in range(len(counts))))
    for part, count in zip(model, counts):
        part.add(count)
    lines = []
    logger = SimpleNamespace(warning=lines.append)
    return SimpleNamespace(
        model=model,
        logger=logger,
        lines=lines,
        iter=iteration,
        work_dir='work',
    )


@pytest.mark.parametrize(
    ('counts', 'idle'),
    [((), []), ((3,), []), ((0, 2, 0), ['part 0', 'part 2'])],
)
def test_idle_parts_are_named(counts, idle, tmp_path):
    """In the log, in checkpoints and in a file for tables."""
    run, hook = runner(*counts, iteration=60), IdlePartsHook()
    hook.before_train(run)  # resumed: what counted before counts
    checkpoint = dict(meta={})
    hook.before_save_checkpoint(run, checkpoint)
    hook.after_train(run)
    assert checkpoint['meta']['idle_parts'] == idle
    assert json.loads((tmp_path / 'work/idle_parts.json').read_text()) == idle
    assert run.lines == [
        f'in 60 iterations nothing ever counted of {what}' for what in idle
    ]


def test_a_new_training_counts_anew():
    run, hook = runner(5), IdlePartsHook()
    hook.before_train(run)
    hook.after_train(run)
    assert run.lines


def test_what_another_rank_counted_counts(monkeypatch):
    monkeypatch.setattr(
        'mmood.hooks.idle_parts.all_reduce', lambda count: count.add_(1)
    )
    run = runner(0)
    IdlePartsHook().after_train(run)
    assert not run.lines and not run.model[0].count


def test_the_count_is_in_checkpoints_and_may_be_missing():
    part = Activity('it')
    part.add(4)
    other = Activity('it')
    other.load_state_dict(part.state_dict())
    assert other.count == torch.tensor(4)
    assert not other.load_state_dict({}).missing_keys
    assert not other.count
