"""Losses of two ranks are those of one process."""

from pathlib import Path

import pytest
import torch

from helpers import run_script
from projects.open_set_detection import open_set_detection
from roi_batches import (
    NAMES,
    copied,
    gradients,
    roi_batch,
)

CASES = {
    'loss_contrastive': dict(
        type='InstanceContrastiveLoss',
        num_classes=3,
        in_channels=6,
        channels=4,
        queue_size=5,
        max_enqueued=2,
        enqueue_iou=0.3,
        loss_iou=0.2,
    ),
    'loss_unknown': dict(type='UnknownProbabilityLoss', top_k=2, start=0),
    'loss_placeholder': dict(type='PlaceholderLoss'),
}


# Labels of (rank 0, rank 1), step by step; 4 is the background.
STEPS = [
    ([0, 1, 4, 2, 0, 0], [0, 4, 4, 1]),
    ([], [2, 0, 1, 1, 4, 4, 4]),
    ([4, 4], [4]),
    ([0, 0, 3, 4, 2], []),
    ([], []),
    ([1, 0, 2, 4], [4, 2, 3, 0, 4]),
]


def halves(step):
    return slice(0, len(step[0])), slice(len(step[0]), None)


def build(type, **options):
    return getattr(open_set_detection, type)(**options)


@pytest.fixture(scope='module')
def played(tmp_path_factory):
    """Batches, the losses before them, and what two ranks made of them."""
    folder = tmp_path_factory.mktemp('ranks')
    with torch.random.fork_rng():
        torch.manual_seed(3)
        wholes = [roi_batch(first + second) for first, second in STEPS]
        losses = {name: build(**cfg) for name, cfg in CASES.items()}
    ranks = [[], []]
    for whole, step in zip(wholes, STEPS):
        for rank, part in zip(ranks, halves(step)):
            rank.append({n: getattr(whole, n)[part].detach() for n in NAMES})
    cases = [
        (CASES[name], loss.state_dict(), ranks)
        for name, loss in losses.items()
    ]
    source, out = folder / 'cases.pt', folder / 'result'
    torch.save(cases, source)
    script = Path(__file__).with_name('loss_ranks.py')
    run_script(script, source, out, ranks=2)
    results = [torch.load(f'{out}.{rank}') for rank in range(2)]
    results = [dict(zip(CASES, result)) for result in results]
    return wholes, losses, results


@pytest.mark.parametrize(
    ('name', 'used'),
    [('loss_contrastive', 3), ('loss_unknown', 5), ('loss_placeholder', 5)],
)
def test_two_ranks_equal_one_process(played, name, used):
    """The mean of the ranks' losses and gradients, as DDP takes it.

    Also where one rank, or both, have no RoI, or nothing but background.
    """
    wholes, losses, results = played
    loss = losses[name]
    for step, whole in enumerate(wholes):
        batch = copied(whole)
        value = loss(batch)[name]
        parts = [result[name]['steps'][step] for result in results]
        found = sum(part['losses'][name] for part in parts) / 2
        torch.testing.assert_close(found, value.detach())
        for leaf, grad in gradients(value, batch).items():
            mine = [part['grads'][name][leaf] for part in parts]
            torch.testing.assert_close(torch.cat(mine) / 2, grad)
        used -= bool(value > 0)
    assert used == 0
    states = [result[name]['state'] for result in results]
    for key, tensor in loss.state_dict().items():
        if key == 'activity.count':  # of each rank its own
            assert sum(state[key] for state in states) == tensor
            continue
        for state in states:
            torch.testing.assert_close(state[key], tensor)


def test_mixtures_of_ranks_with_different_numbers_of_pairs(played):
    """Their loss is the mean over the pairs of both; pairs are drawn."""
    lengths = []
    for step in range(len(STEPS)):
        parts = [r['loss_placeholder']['steps'][step] for r in played[2]]
        values = torch.cat([part['mixed'] for part in parts])
        found = sum(part['losses']['loss_mix'] for part in parts) / 2
        expected = values.mean() if len(values) else torch.tensor(0.0)
        torch.testing.assert_close(found, expected)
        lengths.append([len(part['mixed']) for part in parts])
    assert lengths[1][0] == 0 < lengths[1][1]
    assert lengths[5] == [3, 2]
