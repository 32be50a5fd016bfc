"""RoIBatch, and that losses of two ranks are those of one process."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import run_script
from projects.open_set_detection import open_set_detection
from projects.open_set_detection.open_set_detection.roi_batch import (
    check_logits,
)
from projects.open_set_detection.tests.roi_batches import (
    NAMES,
    gradients,
    roi_batch,
    rows_of,
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


def test_which_rois_are_what():
    """Negative labels flag objects that are OOD."""
    batch = roi_batch([0, 3, 4, 2, -1], num_known=3)
    assert batch.num_known == 3
    assert batch.is_known.tolist() == [True, False, False, True, False]
    assert batch.is_background.tolist() == [False] * 2 + [True] + [False] * 2


@pytest.mark.parametrize('name', NAMES)
def test_refuses_rows_of_other_rois(name):
    batch, more = roi_batch([0, 1]), {name: torch.zeros(3, 5)}
    with pytest.raises(ValueError, match=f"a row per RoI, .*'{name}': 3"):
        replace(batch, **more)


@pytest.mark.parametrize('shape', [(4, 2), (4,), (0, 1), (2, 3, 4)])
def test_refuses_logits_without_a_known_class(shape):
    with pytest.raises(ValueError, match=r'\(R, K \+ 2\), of at least one'):
        check_logits(torch.zeros(shape))


# ----------------------------------------------------------------- ranks
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
        batch = rows_of(whole, slice(None))
        value = loss(batch)[name]
        parts = [result[name]['steps'][step] for result in results]
        found = sum(part['losses'][name] for part in parts) / 2
        torch.testing.assert_close(found, value.detach())
        for leaf, grad in gradients(value, batch).items():
            mine = [part['grads'][name][leaf] for part in parts]
            torch.testing.assert_close(torch.cat(mine) / 2, grad)
        used -= bool(value > 0)
    assert used == 0
    for result in results:
        for key, tensor in loss.state_dict().items():
            torch.testing.assert_close(result[name]['state'][key], tensor)


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
