"""Batches, and the list of losses that see them."""

import pytest
import torch
from torch import nn

from batches import classify, contrast_batch, known_batch
from helpers import assert_near
from mmood.losses import (
    BACKGROUND,
    IGNORE,
    OUTLIER,
    Batch,
    LogisticUncertaintyLoss,
    OODLoss,
    SIRENLoss,
    UncertaintyLoss,
    build_losses,
    build_part,
    find_loss,
    ood_losses,
)
from mmood.outliers import (
    AnnotatedOutliers,
    OutlierSource,
    VirtualOutlierSynthesis,
)
from mmood.registry import MODELS
from mmood.scores import Samples

LABELS = [2, BACKGROUND, 0, OUTLIER, 1, IGNORE, 0, BACKGROUND]


def batch(**more):
    rows = torch.randn(len(LABELS), 6, requires_grad=True)
    return known_batch(rows, LABELS, **more)


def samples(number):
    return Samples(torch.randn(number, 3), torch.randn(number, 6))


def same(found, expected):
    for name in ('logits', 'features'):
        assert_near(getattr(found, name), getattr(expected, name))


class Spy(OODLoss):
    """Remembers both sides; its loss is the number of rows it is given."""

    needs_outliers = True

    def __init__(self, background=False, name='loss_spy'):
        super().__init__()
        self.background, self.name = background, name

    def forward(self, batch):
        self.known, self.outliers = batch.contrast(self.background)
        return {self.name: self.known.logits.sum() * 0 + len(self.known)}


class Fixed(OutlierSource):
    """Makes two outliers of ones, once it is active."""

    def forward(self, batch):
        self.seen = batch.known
        losses = dict(loss_own=torch.tensor(2.5))
        if not self.is_active(batch):
            return None, losses
        return batch.classified(torch.ones(2, 6)), losses


def test_known_rows_are_those_of_a_class():
    b = batch(inputs=torch.randn(len(LABELS), 2, 3, 3))
    places = [0, 2, 4, 6]
    assert_near(b.known.inputs, b.inputs[places])
    assert b.known_rows.tolist() == places
    assert b.known_labels.tolist() == [2, 0, 1, 0]
    assert_near(b.known.features, b.features[places])
    # The last column is the background's, and is no class.
    assert_near(b.known.logits, b.logits[places, :3])
    assert b.is_known.nonzero()[:, 0].tolist() == places
    assert b.is_background.nonzero()[:, 0].tolist() == [1, 7]
    made = b.classified(torch.ones(2, 6))
    assert_near(made.logits, classify(torch.ones(2, 6))[:, :3])


def test_progress():
    assert batch().progress == batch(iteration=3).progress == 0
    assert batch(iteration=3, max_iters=12).progress == 0.25


def test_rows_that_do_not_belong_together():
    with pytest.raises(ValueError, match="one row of each.*'labels': 2"):
        Batch(logits=torch.zeros(3, 4), labels=torch.zeros(2), num_classes=3)
    for classes in (0, 5):
        with pytest.raises(ValueError, match=f'num_classes={classes} col'):
            Batch(logits=torch.zeros(3, 4), num_classes=classes)


@pytest.mark.parametrize('background', [True, False])
def test_sides_of_a_contrast(background):
    b = batch(outliers=samples(3))
    known, outliers = b.contrast(background)
    places = [0, 1, 2, 4, 6, 7] if background else [0, 2, 4, 6]
    assert_near(known.features, b.features[places])
    assert_near(known.logits, b.logits[places, :3])
    assert outliers is b.outliers


@pytest.mark.parametrize('background', [True, False])
def test_no_side_counts_before_there_are_outliers(background):
    b = batch()
    known, outliers = b.contrast(background)
    assert len(known) == len(outliers) == 0
    total = known.logits.sum() + outliers.features.sum()
    (grad,) = torch.autograd.grad(total, b.features)
    assert not grad.any()


@pytest.mark.parametrize('flagged', [None, 0, 4])
@pytest.mark.parametrize('iteration', [0, 1])
def test_flagged_rows_join_what_an_active_source_makes(flagged, iteration):
    spy, source = Spy(), Fixed(start_iter=1)
    flagged = None if flagged is None else samples(flagged)
    b = batch(flagged=flagged, iteration=iteration)
    found = ood_losses(b, dict(Spy=spy), source)
    count = 4 if iteration else 0
    assert found == dict(loss_own=2.5, loss_spy=count)
    expected = b.classified(torch.ones(2, 6))
    if flagged is not None:
        expected = Samples.cat(expected, flagged)
    same(spy.outliers, expected if iteration else expected[:0])
    assert source.activity.count == len(spy.outliers)
    assert_near(source.seen.features, b.known.features)


@pytest.mark.parametrize('number', [0, 4])
@pytest.mark.parametrize('iteration', [0, 1])
@pytest.mark.parametrize('background', [True, False])
def test_annotated_outliers_are_the_flagged_rows(
    number, iteration, background
):
    """Known rows count from the start on, also where none is flagged."""
    spy, source = Spy(background), AnnotatedOutliers(start_iter=1)
    b = batch(flagged=samples(number), iteration=iteration)
    found = ood_losses(b, dict(Spy=spy), source)
    assert found['loss_spy'] == iteration * (6 if background else 4)
    same(spy.outliers, b.flagged[: number * iteration])


def test_flagged_rows_count_while_a_source_waits_for_more():
    """Known ones only with them: nothing else says what they are not."""
    source = VirtualOutlierSynthesis(3, 6, queue_size=50)
    for number, count in ((0, 0), (4, 4)):
        spy = Spy()
        b = batch(flagged=samples(number))
        assert ood_losses(b, dict(Spy=spy), source)['loss_spy'] == count
        same(spy.outliers, b.flagged)


def test_flagged_rows_count_for_nothing_without_a_source():
    spy = Spy()
    ood_losses(batch(flagged=samples(4)), dict(Spy=spy))
    assert len(spy.known) == len(spy.outliers) == 0


def test_losses_of_one_name_add_up():
    b = contrast_batch(torch.randn(4, 3), torch.randn(2, 3))
    parts = dict(a=Spy(), b=Spy(), c=Spy(name='loss_other'))
    assert ood_losses(b, parts) == dict(loss_spy=8, loss_other=4)


def test_losses_are_built_with_the_sizes_that_they_ask_for():
    configs = [
        dict(type='mmood.SIRENLoss', channels=5),
        dict(type='mmood.LogisticUncertaintyLoss'),
        dict(type=UncertaintyLoss, name='mine', loss_weight=0.3),
    ]
    losses = build_losses(configs, num_classes=3, in_channels=6)
    assert list(losses) == ['SIRENLoss', 'LogisticUncertaintyLoss', 'mine']
    assert losses['SIRENLoss'].prototypes.shape == (3, 5)
    assert losses['SIRENLoss'].projection[0].in_features == 6
    assert losses['LogisticUncertaintyLoss'].class_weight.shape == (3,)
    assert losses['mine'].loss_weight == 0.3
    assert configs[2]['name'] == 'mine'
    assert len(build_losses([])) == 0


def test_what_the_config_says_goes_before_the_size():
    config = dict(type='mmood.LogisticUncertaintyLoss', num_classes=7)
    assert build_part(config, num_classes=3).class_weight.shape == (7,)


@MODELS.register_module(force=True)
class NoOODLoss(nn.Module):
    pass


@pytest.mark.parametrize(
    ('configs', 'message'),
    [
        (dict(type='mmood.UncertaintyLoss'), 'must be a list of configs'),
        (None, 'must be a list of configs, got None'),
        ([None], r'such as dict\(type=.*, got None'),
        (['mmood.UncertaintyLoss'], "are dicts, .*got 'mmood.Uncert"),
        ([dict(loss_weight=2)], r"got \{'loss_weight': 2\}"),
        ([dict(type='mmood.UncertaintyLoss', name='a.b')], "called 'a.b'"),
        ([dict(type='mmood.UncertaintyLoss', name='keys')], "called 'keys'"),
        ('mmood.UncertaintyLoss', 'must be a list of configs'),
        ([dict(type='mmood.UncertaintyLoss')] * 2, 'UncertaintyLoss twice'),
        ([dict(type='mmood.NoOODLoss')], 'NoOODLoss, which is no mmood.OOD'),
    ],
)
def test_refuses_what_is_no_list_of_losses(configs, message):
    with pytest.raises(ValueError, match=message):
        build_losses(configs)


def test_a_score_finds_the_loss_that_trains_it():
    losses = [UncertaintyLoss(), SIRENLoss(6, 3)]
    assert find_loss(losses, SIRENLoss, 'vmf') is losses[1]
    with pytest.raises(ValueError, match='add .*LogisticUncertaintyLoss'):
        find_loss(losses, LogisticUncertaintyLoss, 'mine')
