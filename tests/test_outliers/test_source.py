"""Sources: when outliers count, and those that make none of their own."""

import pytest
import torch

from batches import known_batch
from mmood.losses import SIRENLoss, UncertaintyLoss, ood_losses
from mmood.outliers import (
    AnnotatedOutliers,
    BlurredOutliers,
    OutlierSource,
    build_source,
)
from mmood.registry import MODELS
from mmood.scores import Samples

ANNOTATED = dict(type='mmood.AnnotatedOutliers')
KINDS = [
    AnnotatedOutliers,
    BlurredOutliers,
    'FlowFeatureSynthesis',
    'GANSynthesis',
    'VirtualOutlierSynthesis',
]


def at(iteration, max_iters=30):
    return known_batch(
        torch.randn(4, 6), iteration=iteration, max_iters=max_iters
    )


@pytest.mark.parametrize(
    ('start', 'first'),
    [
        (dict(), 0),
        (dict(start_share=0.0), 0),
        (dict(start_share=2 / 3), 20),
        (dict(start_share=1), 30),
        (dict(start_iter=1), 1),
        (dict(start_iter=7), 7),
    ],
)
def test_outliers_count_from_their_start_on(start, first):
    source = OutlierSource(**start)
    found = [source.is_active(at(i)) for i in range(31)]
    assert found == [i >= first for i in range(31)]


def test_a_share_needs_a_training_loop():
    for start in (dict(), dict(start_share=0), dict(start_iter=0)):
        assert OutlierSource(**start).is_active(at(0, None))
    with pytest.raises(RuntimeError, match='start_share=0.5.*set start_iter'):
        OutlierSource(start_share=0.5).is_active(at(3, None))


@pytest.mark.parametrize(
    ('start', 'message'),
    [
        (dict(start_share=2), 'for an iteration set start_iter'),
        (dict(start_iter=0.5), 'for a share of the training set start_share'),
        (dict(start_iter=-1), 'from 0 on, got -1'),
        (
            dict(start_share=0.5, start_iter=3),
            'exclude each other, got 0.5 and 3: set one of them to None',
        ),
    ],
)
@pytest.mark.parametrize('kind', KINDS)
def test_a_start_has_one_meaning_in_every_source(kind, start, message):
    kind = MODELS.get(f'mmood.{kind}') if isinstance(kind, str) else kind
    sizes = {} if kind in KINDS else dict(channels=6)
    if kind.__name__.startswith('Virtual'):
        sizes['num_classes'] = 3
    with pytest.raises(ValueError, match=message):
        kind(**sizes, **start)


def test_what_waits_says_what_it_waits_for():
    text = AnnotatedOutliers().activity.what
    assert text.startswith('the outliers of AnnotatedOutliers, as in a plain')


def test_annotated_outliers_let_the_known_rows_count():
    batch = at(0)
    outliers, losses = AnnotatedOutliers()(batch)
    assert len(outliers) == 0 and losses == {}
    assert outliers.logits.shape == (0, 3) and outliers.features.shape[1] == 6
    assert AnnotatedOutliers(start_iter=1)(batch) == (None, {})


@pytest.mark.parametrize('number', [0, 2])
def test_activity_counts_what_counted(number):
    source = AnnotatedOutliers(start_iter=1)
    flagged = Samples(torch.randn(number, 3), torch.randn(number, 6))
    for iteration, count in ((0, 0), (1, number), (2, 2 * number)):
        batch = at(iteration)
        batch.flagged = flagged
        ood_losses(batch, {}, source)
        assert source.activity.count == count


@pytest.mark.parametrize(
    ('config', 'losses', 'message'),
    [
        (None, [UncertaintyLoss()], 'UncertaintyLoss needs outliers'),
        (ANNOTATED, [], 'of AnnotatedOutliers without'),
        (ANNOTATED, [SIRENLoss(6, 3)], 'of AnnotatedOutliers without'),
        ([ANNOTATED], [UncertaintyLoss()], r'are dicts.* got \[\{'),
        ('mmood.AnnotatedOutliers', [UncertaintyLoss()], 'are dicts'),
        (
            dict(type='mmood.UncertaintyLoss'),
            [UncertaintyLoss()],
            'outliers is a UncertaintyLoss, which is no mmood.OutlierSource',
        ),
    ],
)
def test_outliers_that_cannot_be(config, losses, message):
    with pytest.raises(ValueError, match=message):
        build_source(config, losses)


def test_outliers_and_the_losses_that_need_them_come_together():
    assert build_source(None, [SIRENLoss(6, 3)]) is None
    assert build_source(None, []) is None
    config = dict(type='mmood.VirtualOutlierSynthesis', queue_size=2)
    source = build_source(
        config, [UncertaintyLoss()], num_classes=3, channels=6
    )
    assert source.queues.memory.shape == (3, 2, 6)
