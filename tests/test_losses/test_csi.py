"""CSI's losses against numpy and stock losses."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from batches import as_ranks, known_batch
from helpers import assert_near
from mmood.losses import CSILoss, nt_xent
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet


class Body(nn.Module):
    """A small box head: pooled maps (N, 2, 3, 3) -> features (N, 6)."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(18, 6)
        self.calls = []

    def view(self, maps):
        self.calls.append(maps)
        features = self.fc(maps.flatten(1)).tanh()
        return Samples(features, features)


def setup(n, **more):
    body = Body()
    loss = CSILoss(6, channels=4, loss_weight=1, shift_weight=1, **more)
    maps = torch.randn(n, 2, 3, 3, requires_grad=True)
    second = torch.randn(n, 2, 3, 3, requires_grad=True)
    return body, loss, maps, second


def call(body, loss, maps, second):
    """The losses of known boxes, beside one on no object."""
    rows = torch.cat([maps, maps.new_ones((1, *maps.shape[1:]))])
    batch = known_batch(
        torch.zeros(len(rows), 6),
        [0] * len(maps) + [-1],
        inputs=rows,
        view=body.view,
        jitter=lambda: second,
    )
    return loss(batch)


def ntxent_by_hand(z, partner, temperature):
    """The mean of -log(e(i, j) / sum_k e(i, k)), in two loops."""
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    terms = []
    for i, j in enumerate(partner):
        others = [
            np.exp(z[i] @ z[k] / temperature) for k in range(len(z)) if k != i
        ]
        terms.append(-np.log(np.exp(z[i] @ z[j] / temperature) / sum(others)))
    return np.mean(terms)


@pytest.mark.parametrize('pairs', [1, 2, 7])
@pytest.mark.parametrize('temperature', [0.5, 0.07, 2.0])
def test_matches_the_double_loop(pairs, temperature):
    first, second = torch.randn(2, pairs, 5)
    z = torch.cat([first, second]).double().numpy()
    partner = [*range(pairs, 2 * pairs), *range(pairs)]
    expected = ntxent_by_hand(z, partner, temperature)
    found = nt_xent(first, second, temperature).item()
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_known_values():
    """One pair has no negative; far pairs, ``log(1 + 2 exp(-1 / T))``."""
    assert nt_xent(torch.randn(1, 3), torch.randn(1, 3)).item() == 0
    axes = torch.eye(2)
    expected = np.log(1 + 2 * np.exp(-1 / 0.5))
    assert nt_xent(axes, 3 * axes).item() == pytest.approx(expected)


def test_nt_xent_gradient_is_the_numerical_one():
    z = torch.randn(2, 3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: nt_xent(z[0], z[1]), z)


def test_no_pair():
    z = torch.zeros(0, 4, requires_grad=True)
    loss = nt_xent(z, z)
    assert loss.item() == 0
    loss.backward()
    assert z.grad.shape == (0, 4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    first, second = torch.randn(2, 6, 5).to(dtype)
    expected = nt_xent(first.float(), second.float())
    with torch.autocast('cpu', torch.bfloat16):
        found = nt_xent(first, second)
    assert_near(found, expected)


@pytest.mark.parametrize('temperature', [0, -1.0, float('nan')])
def test_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=f'temperature .*got {temperature}'):
        nt_xent(torch.zeros(1, 2), torch.zeros(1, 2), temperature)


def by_hand(body, loss, maps, second, temperature=0.5):
    """Every (view, shift, box) explicitly; both losses."""
    vectors, where, logits, shifts = [], [], [], []
    for number, views in enumerate((maps, second)):
        for shift in range(4):
            turned = np.rot90(views.detach().numpy(), shift, axes=(2, 3))
            features = body.view(torch.from_numpy(turned.copy())).features
            for i, f in enumerate(features):
                vectors.append(loss.projector(f).detach().double().numpy())
                logits.append(loss.shift_classifier(f))
                shifts.append(shift)
                where.append((number, shift, i))
    partner = [where.index((1 - v, s, i)) for v, s, i in where]
    contrast = ntxent_by_hand(np.stack(vectors), partner, temperature)
    shift = F.cross_entropy(torch.stack(logits), torch.tensor(shifts))
    return contrast, shift.item()


@pytest.mark.parametrize('n', [1, 2, 5])
@pytest.mark.parametrize('temperature', [0.5, 0.2])
def test_both_losses(n, temperature):
    parts = setup(n, temperature=temperature)
    contrast, shift = by_hand(*parts, temperature)
    losses = call(*parts)
    assert set(losses) == {'loss_csi', 'loss_csi_shift'}
    assert losses['loss_csi'].item() == pytest.approx(contrast, rel=1e-4)
    assert losses['loss_csi_shift'].item() == pytest.approx(shift, rel=1e-4)


def test_equal_views_and_a_shift_blind_body():
    """Then 7 of 8 are alike: log 7, and the shift a guess: log 4."""
    body, loss, maps, _ = setup(1)
    with torch.no_grad():
        body.fc.weight.zero_()
        loss.shift_classifier.weight.zero_()
        loss.shift_classifier.bias.zero_()
    losses = call(body, loss, maps, maps)
    assert losses['loss_csi'].item() == pytest.approx(np.log(7), rel=1e-5)
    shift = losses['loss_csi_shift'].item()
    assert shift == pytest.approx(np.log(4), rel=1e-5)


@pytest.mark.parametrize('n', [0, 1, 5])
def test_every_parameter_and_map_gets_a_gradient(n):
    body, loss, maps, second = setup(n)
    losses = call(body, loss, maps, second)
    assert n or not any(value.item() for value in losses.values())
    sum(losses.values()).backward()
    for p in (*body.parameters(), *loss.parameters(), maps, second):
        assert torch.isfinite(p.grad).all()
        assert p.grad.any() or not n


def test_at_most_so_many_boxes_at_random():
    body, loss, maps, second = setup(9, max_samples=4)
    chosen = set()
    for _ in range(20):
        call(body, loss, maps, second)
        turned = body.calls[-1].unflatten(0, (2, 4, 4))
        own = turned[0, 0].unsqueeze(1) == maps
        own = own.flatten(2).all(2).nonzero()[:, 1]
        assert len(own.unique()) == 4
        assert torch.equal(turned[1, 0], second[own])
        chosen |= set(own.tolist())
    assert chosen == set(range(9))


@pytest.mark.parametrize(
    ('sizes', 'shares'),
    [
        ((3, 5), (3 / 4, 5 / 4)),
        ((3, 0), (2.0, 0)),
        ((3, 30), (3 / 8, 1)),
        ((0, 0), (0, 0)),
    ],
)
def test_a_rank_counts_by_its_boxes(monkeypatch, sizes, shares):
    """But by at most ``max_samples``, of which there are 8."""
    body, loss, *_ = setup(0, max_samples=8)
    ranks = [torch.randn(2, n, 2, 3, 3) for n in sizes]

    def play(maps):
        torch.manual_seed(1)
        return call(body, loss, *maps)

    alone = [play(maps) for maps in ranks]
    found = as_ranks(monkeypatch, *(partial(play, maps) for maps in ranks))
    for one, other, share in zip(alone, found, shares):
        for name, value in one.items():
            assert other[name].item() == pytest.approx(
                share * value.item(), rel=1e-5
            )


def test_registered_with_its_weights():
    loss = MODELS.build(
        dict(
            type='mmood.CSILoss',
            in_channels=6,
            loss_weight=0.5,
            shift_weight=0.25,
        )
    )
    assert isinstance(loss, CSILoss)
    assert (CSILoss(6).loss_weight, CSILoss(6).shift_weight) == (0.1, 0.1)
    body, _, maps, second = setup(2)
    contrast, shift = by_hand(body, loss, maps, second)
    found = call(body, loss, maps, second)
    assert found['loss_csi'].item() == pytest.approx(contrast / 2, rel=1e-4)
    weighted = found['loss_csi_shift'].item()
    assert weighted == pytest.approx(shift / 4, rel=1e-4)


def test_mixed_precision():
    parts = setup(4)
    torch.manual_seed(1)
    expected = call(*parts)
    torch.manual_seed(1)
    with torch.autocast('cpu', torch.bfloat16):
        found = call(*parts)
    for name, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], atol=0, rtol=0.05)


def test_missing_or_wrong_maps():
    body, loss, maps, second = setup(2)
    for missing in ('inputs', 'view', 'jitter'):
        given = dict(inputs=maps, view=body.view, jitter=lambda: second)
        given[missing] = None
        with pytest.raises(ValueError, match='CSILoss needs the pooled maps'):
            loss(known_batch(torch.zeros(2, 6), **given))
    with pytest.raises(ValueError, match='maps of the same boxes'):
        call(body, loss, maps, second[:1])
    with pytest.raises(ValueError, match='square'):
        call(body, loss, maps[..., :2], second[..., :2])
    with pytest.raises(ValueError, match='max_samples must be >= 1, got 0'):
        CSILoss(6, max_samples=0)


def fit(body, loss, maps):
    scores = ScoreSet(['csi'], num_classes=3, losses=[loss])
    scores.start(['csi'])
    scores.update(Samples(inputs=maps, view=body.view))
    scores.finish()
    return scores


def scored(scores, body, maps):
    return scores(Samples(inputs=maps, view=body.view))['csi']


def test_training_tells_known_boxes_from_others():
    """Maps with a gradient to the right are known, to the left are not."""
    body, loss, *_ = setup(0)
    ramp = torch.arange(3.0).expand(16, 2, 3, 3)
    noise = lambda: 0.1 * torch.randn(16, 2, 3, 3)  # noqa: E731
    parameters = [*body.parameters(), *loss.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        losses = call(body, loss, ramp + noise(), ramp + noise())
        sum(losses.values()).backward()
        optimizer.step()
        body.calls.clear()
    assert losses['loss_csi_shift'] < 0.1
    scores = fit(body, loss, ramp + noise())
    assert (scores.csi.weights > 0).all()
    known = scored(scores, body, ramp + noise())
    unknown = scored(scores, body, ramp.flip(3) + noise())
    assert known.max() < unknown.min()
