"""ORE's identifier against scipy's Weibull distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import weibull_min

from helpers import assert_near
from mmood.losses import EnergyWeibulls
from mmood.scores import Samples, ScoreSet, energy
from roi_batches import roi_batch

K = 3


def logits_of(energies: np.ndarray, columns: int = K) -> torch.Tensor:
    """Logits whose energy over the first K columns is as given."""
    logits = torch.zeros(len(energies), columns)
    logits[:, :K] = -torch.tensor(energies).float()[:, None] - np.log(K)
    return logits


def observed(known, unknown, size=1000, **more):
    loss = EnergyWeibulls(size, **more)
    both = np.concatenate([known, unknown, [99.0]])
    labels = [0] * len(known) + [K] * len(unknown) + [K + 1]
    logits = logits_of(both, K + 2)
    logits[:, K:] = 50.0  # neither unknown nor background is a known class
    assert loss(roi_batch(labels, K, logits=logits)) == {}
    return loss


def scored(loss, logits):
    scores = ScoreSet(['ore'], num_classes=K, losses=[loss])
    assert not scores.needs_fit and list(scores.state_dict()) == [
        'thresholds.ore'
    ]
    return scores(Samples(logits=logits))['ore']


def two_kinds(count=400):
    known = weibull_min.rvs(3, -12, 3, size=count, random_state=1)
    unknown = weibull_min.rvs(4, -7, 4, size=count, random_state=2)
    return known, unknown


def test_score_is_the_log_ratio_of_both_densities():
    known, unknown = two_kinds()
    loss = observed(known, unknown)
    shift = min(known.min(), unknown.min())
    shift -= np.concatenate([known, unknown]).std()
    fits = [weibull_min.fit(v, floc=shift) for v in (known, unknown)]
    x = np.linspace(-12, 0, 40)
    first, second = (weibull_min.logpdf(x, *fit) for fit in fits)
    found = scored(loss, logits_of(x))
    np.testing.assert_allclose(found, second - first, atol=1e-3, rtol=1e-3)
    assert found[0] < 0 < found[-1]
    energies = energy(logits_of(x))
    np.testing.assert_allclose(energies, x, rtol=1e-5)


def test_a_temperature_is_of_the_energies_kept_and_scored():
    known, unknown = two_kinds()
    loss = observed(known, unknown, temperature=1.5)
    kept = loss.queues.memory.squeeze(2)[0, :400]
    # logsumexp(z / T) of K equal logits z: T log K above z.
    expected = known - np.log(K) * (1.5 - 1)
    np.testing.assert_allclose(np.sort(kept), np.sort(expected), rtol=1e-5)
    logits = logits_of(np.array([-10.0, -2.0]))
    np.testing.assert_allclose(
        loss.of(logits), np.array([-10.0, -2.0]) - np.log(K) / 2, rtol=1e-5
    )
    low, high = scored(loss, logits)
    assert low < 0 < high
    with pytest.raises(ValueError, match='temperature must be .* got 0'):
        EnergyWeibulls(temperature=0)


def test_rings_hold_the_newest_energies_of_both_kinds():
    known, unknown = two_kinds(5)
    loss = observed(known, unknown, size=3)
    rings = loss.queues.memory.squeeze(2)
    assert loss.queues.seen.tolist() == [5, 5]
    for ring, values in zip(rings, (known, unknown)):
        np.testing.assert_allclose(sorted(ring), sorted(values[-3:]), 1e-5)


def test_a_training_starts_without_the_energies_of_another():
    loss = observed(*two_kinds(5))
    loss(roi_batch([0, K, 0], K, iteration=0))
    assert loss.queues.seen.tolist() == [2, 1]
    loss(roi_batch([0, K, 0], K, iteration=1))
    assert loss.queues.seen.tolist() == [4, 2]


def test_fit_is_kept_until_energies_come():
    known, unknown = two_kinds(50)
    loss = observed(known, unknown)
    first = loss.densities()
    assert loss.densities() is first
    logits = logits_of(np.array([-3.0, -2.0]), K + 2)
    loss(roi_batch([0, 0], K, logits=logits))
    second = loss.densities()
    assert second[0] != first[0]


def test_checkpoint_brings_the_energies_along():
    loss, other = observed(*two_kinds()), observed(*two_kinds(7))
    logits = torch.randn(4, K)
    before = scored(other, logits)
    other.load_state_dict(loss.state_dict())
    assert_near(scored(other, logits), scored(loss, logits))
    assert not torch.equal(scored(other, logits), before)


def test_extreme_boxes_have_finite_scores():
    loss = observed(*two_kinds())
    # Impossible as either, so not unknown.
    assert scored(loss, logits_of(np.array([-1e3]))) == 0
    values = scored(loss, logits_of(np.array([-30.0, 0, 30, 1e3])))
    assert torch.isfinite(values).all()
    assert scored(loss, torch.zeros(0, K)).shape == (0,)


@pytest.mark.parametrize(
    ('known', 'unknown'),
    [([], []), ([1.0, 2.0], []), ([1.0, 2.0], [3.0]), ([1.0] * 3, [1.0, 2])],
)
def test_too_few_energies_are_an_error_that_says_how(known, unknown):
    loss = observed(np.array(known), np.array(unknown))
    text = f'{len(known)} of known and {len(unknown)} of unknown.*train'
    with pytest.raises(RuntimeError, match=text):
        scored(loss, torch.zeros(1, K))


def test_a_step_without_objects_changes_nothing():
    loss = observed(*two_kinds(5))
    before = loss.queues.memory.clone()
    for labels in ([], [K + 1, K + 1]):
        loss(roi_batch(labels, K))
    assert torch.equal(loss.queues.memory, before)


def test_the_score_needs_the_loss_that_keeps_the_energies():
    with pytest.raises(ValueError, match="'ore'.*EnergyWeibulls.*losses"):
        ScoreSet(['ore'], num_classes=K)
