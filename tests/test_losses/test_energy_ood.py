"""Dream-Box's loss against numpy, torch and mmdet."""

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from mmdet.models.losses import FocalLoss

from batches import contrast_batch
from helpers import assert_near
from mmood.losses import DreamBoxScore, EnergyOODLoss, binary_focal_loss
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet

KINDS = ('focal', 'bce')


def logits(n, shape=(), classes=4):
    return torch.randn(n, classes, *shape, requires_grad=True)


def focal(odds, is_positive, alpha=0.25, gamma=2.0):
    """Eq. 5 of Lin et al., case by case, in numpy float64."""
    p = scipy.special.expit(odds)
    positive = alpha * (1 - p) ** gamma * -np.log(p)
    negative = (1 - alpha) * p**gamma * -np.log1p(-p)
    return np.where(is_positive, positive, negative)


def expected(loss, known, outlier):
    """The loss by its definition, in numpy float64."""
    a, b = loss.linear.weight.item(), loss.linear.bias.item()
    odds = [
        b - a * scipy.special.logsumexp(z.detach().double().numpy(), axis=1)
        for z in (known, outlier)
    ]
    is_outlier = np.r_[np.zeros(odds[0].size), np.ones(odds[1].size)] > 0
    odds = np.concatenate([side.ravel() for side in odds])
    if loss.kind == 'focal':
        values = focal(odds, is_outlier, loss.alpha, loss.gamma)
    else:
        p = scipy.special.expit(odds)
        values = -np.log(np.where(is_outlier, p, 1 - p))
    return loss.loss_weight * values.sum() / max(odds.size, 1)


def build(kind, a=0.7, b=-0.4, **kwargs):
    loss = EnergyOODLoss(kind, **kwargs)
    torch.nn.init.constant_(loss.linear.weight, a)
    torch.nn.init.constant_(loss.linear.bias, b)
    return loss


def call(loss, known, outlier, background=None):
    found = loss(contrast_batch(known, outlier, background))
    assert list(found) == ['loss_uncertainty']
    return found['loss_uncertainty']


@pytest.mark.parametrize(('alpha', 'gamma'), [(0.25, 2), (0.8, 0.5), (1, 1)])
def test_focal_matches_numpy_and_mmdet(alpha, gamma):
    odds, is_positive = 3 * torch.randn(50), torch.rand(50) > 0.5
    values = binary_focal_loss(odds, is_positive, alpha, gamma)
    ours = focal(odds.double().numpy(), is_positive.numpy(), alpha, gamma)
    np.testing.assert_allclose(values.numpy(), ours, rtol=1e-4, atol=1e-7)
    stock = FocalLoss(gamma=gamma, alpha=alpha, reduction='none')
    theirs = stock(odds[:, None], (~is_positive).long())[:, 0]
    torch.testing.assert_close(values, theirs, rtol=1e-4, atol=1e-6)


def test_focal_without_focus_is_half_the_cross_entropy():
    odds, is_positive = torch.randn(4, 5), torch.rand(4, 5) > 0.5
    values = binary_focal_loss(odds, is_positive, alpha=0.5, gamma=0)
    bce = F.binary_cross_entropy_with_logits(
        odds, is_positive.float(), reduction='none'
    )
    torch.testing.assert_close(values, bce / 2)


def test_focal_at_even_odds_has_its_closed_form():
    values = binary_focal_loss(torch.zeros(2), torch.tensor([True, False]))
    ln2 = np.log(2)
    np.testing.assert_allclose(values, [ln2 / 16, 3 * ln2 / 16], rtol=1e-5)


def test_focal_is_finite_far_out_with_its_gradient():
    odds = torch.tensor([-200.0, 200, -200, 200], requires_grad=True)
    truth = torch.tensor([True, True, False, False])
    values = binary_focal_loss(odds, truth)
    values.sum().backward()
    np.testing.assert_allclose(values.detach(), [50, 0, 0, 150], rtol=1e-5)
    np.testing.assert_allclose(odds.grad, [-0.25, 0, 0, 0.75], atol=1e-6)


@pytest.mark.parametrize('shape', [(), (3, 2)])
@pytest.mark.parametrize('kind', KINDS)
def test_matches_the_definition(kind, shape):
    loss, known, outlier = build(kind), logits(5, shape), logits(3, shape)
    value = call(loss, known, outlier).item()
    assert value == pytest.approx(expected(loss, known, outlier), rel=1e-5)


def test_published_values_are_the_defaults():
    loss = MODELS.build(dict(type='mmood.EnergyOODLoss'))
    assert isinstance(loss, EnergyOODLoss) and loss.kind == 'focal'
    assert (loss.loss_weight, loss.alpha, loss.gamma) == (10, 0.25, 2)
    assert (loss.linear.weight.item(), loss.linear.bias.item()) == (1, 0)


def test_one_class_starts_as_a_logistic_regression_on_its_logit():
    """The energy of one class is the negative logit."""
    loss = EnergyOODLoss('bce', loss_weight=1)
    known, outlier = logits(5, classes=1), logits(3, classes=1)
    value = call(loss, known, outlier)
    terms = torch.cat([F.softplus(-known), F.softplus(outlier)])
    torch.testing.assert_close(value, terms.mean())


def test_weighted_focal_without_focus_is_the_bce():
    known, outlier = logits(5), logits(3)
    focal_loss = build('focal', alpha=0.5, gamma=0, loss_weight=2)
    bce_loss = build('bce', loss_weight=1)
    torch.testing.assert_close(
        call(focal_loss, known, outlier), call(bce_loss, known, outlier)
    )


def test_the_line_learns_to_tell_the_sides_apart():
    loss = EnergyOODLoss('bce', loss_weight=1)
    known, outlier = torch.full((6, 3), 2.0), torch.full((6, 3), 1.0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.2)
    for _ in range(300):
        optimizer.zero_grad()
        value = call(loss, known, outlier)
        value.backward()
        optimizer.step()
    assert value < 0.1
    assert (loss.log_odds(outlier) > 0).all()
    assert (loss.log_odds(known) < 0).all()


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('n', 'm'), [(0, 3), (4, 0), (0, 0)])
def test_empty_side_adds_nothing_and_keeps_the_graph(kind, n, m):
    loss, layer = build(kind), torch.nn.Linear(6, 4)
    known, outlier = layer(torch.randn(n, 6)), layer(torch.randn(m, 6))
    value = call(loss, known, outlier)
    assert value.item() == pytest.approx(
        expected(loss, known, outlier), rel=1e-5
    )
    value.backward()
    for part in (loss, layer):
        for parameter in part.parameters():
            assert torch.isfinite(parameter.grad).all()
            assert (parameter.grad.abs().sum() > 0) == (n + m > 0)


@pytest.mark.parametrize('background', [True, False])
def test_background_counts_as_known_unless_told_otherwise(background):
    loss = build('focal', background=background)
    known, outlier, rest = logits(4), logits(3), logits(7)
    value = call(loss, known, outlier, rest).item()
    if background:
        known = torch.cat([known, rest])
    assert value == pytest.approx(expected(loss, known, outlier), rel=1e-5)


@pytest.mark.parametrize('background', [True, False])
def test_nothing_counts_before_there_are_outliers(background):
    loss, known = build('focal', background=background), logits(4)
    value = call(loss, known, None, logits(7))
    value.backward()
    assert value.item() == 0 and not known.grad.any()
    assert not any(p.grad.any() for p in loss.parameters())


def score_of(loss, z):
    return DreamBoxScore([loss])(Samples(logits=z))


def test_score_is_the_line_through_the_energy():
    loss = build('bce', a=2.0, b=-3.0)
    z = logits(6, (2,))
    energy = -scipy.special.logsumexp(z.detach().double().numpy(), axis=1)
    np.testing.assert_allclose(
        score_of(loss, z).detach(), 2 * energy - 3, rtol=1e-5, atol=1e-5
    )
    assert score_of(loss, z[:0]).shape == (0, 2)


def test_score_ranks_as_the_sigmoid_but_without_ties():
    z = -torch.arange(40.0, 60.0)[:, None]
    score = score_of(EnergyOODLoss(), z)
    assert len(score.unique()) == 20 and (score.diff() > 0).all()
    assert len(score.sigmoid().unique()) < 20


def test_score_finds_its_loss_and_is_saved_with_it():
    loss, z = build('bce', a=2.0, b=-3.0), logits(6)
    scores = ScoreSet(['dreambox'], num_classes=4, losses=[loss])
    assert not any('linear' in name for name in scores.state_dict())
    found = scores(Samples(logits=z))['dreambox']
    assert_near(found, loss.log_odds(z))
    with pytest.raises(ValueError, match="'dreambox'.*mmood.EnergyOODLoss"):
        ScoreSet(['dreambox'], num_classes=4)


def test_of_sigmoids_it_is_the_joint_energy():
    loss, known, outlier = build('bce', a=2.0, b=-3.0), logits(6), logits(3)
    odds = [
        -3 - 2 * np.logaddexp(0, z.detach().double().numpy()).sum(1)
        for z in (known, outlier)
    ]
    scores = ScoreSet(
        ['dreambox'], num_classes=4, losses=[loss], kind='sigmoid'
    )
    found = scores(Samples(logits=known, kind='sigmoid'))['dreambox']
    np.testing.assert_allclose(found.detach(), odds[0], rtol=1e-5)
    batch = contrast_batch(known, outlier, kind='sigmoid')
    batch.outliers.kind = 'sigmoid'
    values = np.logaddexp(0, np.concatenate([odds[0], -odds[1]]))
    value = loss(batch)['loss_uncertainty'].item()
    assert value == pytest.approx(10 * values.mean(), rel=1e-5)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(kind, dtype):
    loss = build(kind)
    known, outlier = logits(5).to(dtype), logits(3).to(dtype)
    plain = call(loss, known.float(), outlier.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = call(loss, known, outlier)
        odds = loss.log_odds(known)
    assert value.dtype == odds.dtype == torch.float32
    assert_near(value, plain)
    assert_near(odds, loss.log_odds(known.float()))


def test_refuses_another_kind():
    with pytest.raises(ValueError, match="'focal' or 'bce', got 'hinge'"):
        EnergyOODLoss('hinge')
