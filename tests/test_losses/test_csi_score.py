"""CSI's score against numpy, and its fit."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.losses import CSILoss, CSIScore, rotations
from mmood.scores import Samples


def view(maps):
    """Features that know how a map is turned: a part of its values."""
    return Samples(maps.new_zeros(len(maps), 2), maps.flatten(1)[:, :5])


def project(features):
    return features[:, :3] * 2 - 0.5


def classify(features):
    return features[:, 1:5]


class Call(nn.Module):
    """A head that is a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def unfitted(project=project, classify=classify, **options):
    """A score of a loss with these heads."""
    loss = CSILoss(5, channels=3)
    loss.projector, loss.shift_classifier = Call(project), Call(classify)
    return CSIScore([loss], **options)


def seen(maps):
    return Samples(inputs=maps, view=view)


def boxes(n, shift=2.0):
    """Maps (n, 2, 3, 3), positive in the mean: so are the right logits."""
    return torch.randn(n, 2, 3, 3) + shift


def fitted(x, score=None, **options):
    score = score or unfitted(**options)
    score.reset()
    for start in range(0, len(x), 4):
        part = x[start : start + 4]
        keys = torch.arange(start, start + len(part))
        score.update(seen(part), keys=keys)
    score.finish()
    return score


def turned(x):
    """Projections (S, N, D) and right logits (S, N) by numpy."""
    z, q = [], []
    for k in range(4):
        maps = np.rot90(x.double().numpy(), k, axes=(2, 3))
        features = maps.reshape(len(x), 18)[:, :5]
        z.append(features[:, :3] * 2 - 0.5)
        q.append(features[:, 1:5][:, k])
    return np.stack(z), np.stack(q)


def by_hand(train, x):
    """The paper's sum, one box and one shift after the other."""
    bank, right = turned(train)
    z, q = turned(x)
    scores = np.zeros(len(x))
    for s in range(4):
        con = 1 / np.mean([np.linalg.norm(v) for v in bank[s]])
        cls = 1 / np.mean(right[s])
        for i, v in enumerate(z[s]):
            norm = np.linalg.norm(v)
            cosines = [v @ m / norm / np.linalg.norm(m) for m in bank[s]]
            scores[i] -= con * max(cosines) * norm + cls * q[s, i]
    return scores


def test_four_quarter_turns():
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    found = [turn.flatten().tolist() for turn in rotations(maps)]
    assert found == [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    x = torch.randn(2, 3, 5, 5)
    for k, turn in enumerate(rotations(x)):
        expected = np.rot90(x.numpy(), k, axes=(2, 3))
        np.testing.assert_array_equal(turn.numpy(), expected)
    assert [len(turn) for turn in rotations(x[:0])] == [0] * 4


@pytest.mark.parametrize('n', [2, 0])
def test_maps_must_be_square(n):
    with pytest.raises(ValueError, match=r'square, got \(\d, 3, 7, 5\)'):
        rotations(torch.zeros(n, 3, 7, 5))


@pytest.mark.parametrize('n', [7, 1, 0])
@pytest.mark.parametrize('m', [10, 1])
def test_published_formula(n, m):
    train, x = boxes(m), boxes(n)
    if m == 1:
        train = train.abs()
    score = fitted(train)
    assert score.bank.shape == (4, m, 3)
    found = score(seen(x))
    np.testing.assert_allclose(found.numpy(), by_hand(train, x), rtol=1e-4)


def test_a_training_box_scores_its_norm_and_logit():
    """Its nearest neighbour is itself; the mean over training is -8."""
    train = boxes(12)
    scores = fitted(train)(seen(train))
    z, q = turned(train)
    norms = np.linalg.norm(z, axis=2)
    parts = norms / norms.mean(1, keepdims=True)
    parts = parts + q / q.mean(1, keepdims=True)
    np.testing.assert_allclose(scores.numpy(), -parts.sum(0), rtol=1e-4)
    assert scores.mean().item() == pytest.approx(-8, rel=1e-5)


def test_boxes_unlike_any_are_more_ood():
    train = boxes(50, shift=4)
    score = fitted(train)
    known, unknown = boxes(20, shift=4), boxes(20, shift=0)
    assert score(seen(known)).max() < score(seen(unknown)).min()


def test_statistics():
    train = boxes(11)
    score = fitted(train)
    z, q = turned(train)
    norms = np.linalg.norm(z, axis=2)
    expected = [1 / norms.mean(1), 1 / q.mean(1)]
    np.testing.assert_allclose(score.weights.numpy(), expected, rtol=1e-5)
    # The bank holds the four vectors of one box at one place.
    places = [
        [np.abs(row - unit).sum(1).argmin() for row in score.bank[s].numpy()]
        for s, unit in enumerate(z / norms[:, :, None])
    ]
    assert sorted(places[0]) == list(range(11))
    assert places == [places[0]] * 4


def test_a_small_bank_keeps_the_means_of_all():
    train = boxes(30)
    score, whole = fitted(train, bank_size=5), fitted(train)
    assert score.bank.shape == (4, 5, 3)
    assert_near(score.weights, whole.weights)
    assert_near(score.bank, whole.bank[:, :5])


def test_a_second_fit_forgets_the_first():
    score, train = fitted(boxes(6)), boxes(9)
    score.reset()
    with pytest.raises(RuntimeError, match='not fitted'):
        score(seen(train))
    score.update(seen(train))
    score.finish()
    other = fitted(train)
    torch.testing.assert_close(score.weights, other.weights)
    assert score.bank.shape == (4, 9, 3)


def test_unfitted():
    score = unfitted()
    with pytest.raises(RuntimeError, match='CSIScore is not fitted'):
        score(seen(boxes(2)))


def test_nothing_to_fit_on():
    with pytest.raises(ValueError, match='no box to fit CSIScore'):
        fitted(boxes(0))
    score = unfitted()
    score.reset()
    score.update(seen(boxes(0)))
    with pytest.raises(ValueError, match='no box to fit CSIScore'):
        score.finish()
    assert not score.is_fitted


def test_a_shift_that_was_not_learned_counts_nothing():
    """A weight of 1 / mean < 0 would turn its order around."""

    def wrong(features):
        return classify(features) * torch.tensor([1.0, -1.0, 0.0, 1.0])

    train = boxes(8)
    score = unfitted(classify=wrong)
    score.reset()
    score.update(seen(train))
    with pytest.warns(UserWarning, match='shift that was not learned'):
        score.finish()
    assert (score.weights[0] > 0).all()
    assert (score.weights[1] > 0).tolist() == [True, False, False, True]
    assert torch.isfinite(score(seen(train))).all()


def test_a_diverged_head():
    score = unfitted(lambda x: project(x) / 0)
    score.reset()
    score.update(seen(boxes(3)))
    with pytest.raises(ValueError, match='checkpoint has diverged'):
        score.finish()
    assert not score.is_fitted


def test_a_learned_one_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        fitted(boxes(8))


def test_two_ranks_equal_one(monkeypatch):
    """Each rank's sums and sample are exchanged by hand."""
    train = boxes(9)
    whole = fitted(train)
    ranks = []
    for rank in range(2):
        score = unfitted()
        score.reset()
        own = torch.arange(rank, 9, 2)
        score.update(seen(train[own]), keys=own)
        ranks.append(score)
    mine, other = ranks
    part = dict(sums=other._sums.clone(), count=other._count.clone())
    sent = iter([part['sums'], part['count']])
    monkeypatch.setattr(
        'mmood.losses.csi.all_reduce', lambda x: x.add_(next(sent))
    )
    z = [turn.flatten(1)[:, :5] for turn in rotations(train[1::2])]
    z = torch.stack([project(f) for f in z], 1).flatten(1)
    mine._reservoir.add(z, torch.arange(1, 9, 2))
    mine.finish()
    torch.testing.assert_close(mine.weights, whole.weights)
    torch.testing.assert_close(mine.bank, whole.bank)


def test_it_is_saved_without_the_heads_and_goes_with_their_copy():
    loss = CSILoss(5, channels=3)
    score = CSIScore([loss])
    assert [name for name, _ in score.named_modules()] == ['']
    assert not list(score.parameters())
    twin, its_loss = copy.deepcopy((score, loss))
    x = boxes(4)
    with torch.no_grad():
        its_loss.projector[2].bias += 3
    assert (twin._encode(seen(x))[0] - score._encode(seen(x))[0]).min() > 2.9
    with pytest.raises(ValueError, match="'csi'.*mmood.CSILoss"):
        CSIScore([nn.Linear(2, 2)])


def test_checkpoint_round_trip():
    score, x = fitted(boxes(6)), boxes(3)
    other = unfitted()
    other.load_state_dict(score.state_dict())
    assert_near(other(seen(x)), score(seen(x)))
    other = fitted(boxes(9))
    other.load_state_dict(score.state_dict())
    assert_near(other(seen(x)), score(seen(x)))


@pytest.mark.parametrize('n', [4, 0])
def test_mixed_precision(n):
    loss = CSILoss(5, channels=3)
    loss.projector = nn.Linear(5, 3)
    with torch.no_grad():
        for head in (loss.projector, loss.shift_classifier):
            head.weight.abs_()
    x = boxes(n)
    score = fitted(boxes(8), CSIScore([loss]))
    expected = score(seen(x))
    with torch.autocast('cpu', torch.bfloat16):
        found = score(seen(x))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0.02)
