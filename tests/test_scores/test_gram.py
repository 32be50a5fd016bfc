"""GramMatrices against explicit Gram matrices, entry by entry."""

import math
import sys

import numpy as np
import pytest
import torch
from scipy.special import softmax

from helpers import assert_near
from mmood.scores import Samples
from mmood.scores.gram import GramMatrices, gram_deviation, gram_rows

POWERS = range(1, 11)


def by_hand(x, powers=POWERS):
    """Signed roots of the row sums of x^p (x^p)^T, in plain loops."""
    x = x.double().numpy()
    values = np.zeros((len(x), len(powers), x.shape[1]))
    for n, row in enumerate(x):
        for i, p in enumerate(powers):
            gram = np.outer(row**p, row**p)
            for j in range(len(row)):
                total = math.fsum(gram[j])
                values[n, i, j] = math.copysign(abs(total) ** (1 / p), total)
    return values


def deviation_by_hand(values, minimum, maximum):
    total = 0.0
    for v, low, high in zip(*map(np.ravel, (values, minimum, maximum))):
        if v < low:
            total += (low - v) / max(abs(low), 1e-6)
        if v > high:
            total += (v - high) / max(abs(high), 1e-6)
    return total


def views(x, classes, num_classes=3):
    """Samples whose predictions are those classes."""
    logits = torch.randn(len(x), num_classes)
    logits.scatter_(1, classes[:, None], 9.0)
    return Samples(logits, x)


def fitted(x, labels, num_classes=3, step=1000, **kwargs):
    score = GramMatrices(x.shape[1], num_classes, **kwargs)
    score.reset()
    for part, own in zip(x.split(step), labels.split(step)):
        score.update(views(part, own, num_classes), labels=own)
    score.finish()
    return score


def data(count=60, channels=5, num_classes=3, relu=False):
    x = torch.randn(count, channels)
    labels = torch.arange(count) % num_classes
    return (x.relu() if relu else x) + 0.3 * labels[:, None], labels


@pytest.mark.parametrize('relu', [False, True])
@pytest.mark.parametrize('powers', [POWERS, (2,), (3, 1)])
def test_row_sums_are_those_of_the_matrix(relu, powers):
    x = data(relu=relu)[0]
    x[0], x[1, 1] = 0, 0
    found = gram_rows(x, powers)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, by_hand(x, powers), rtol=1e-9)


def test_known_numbers():
    """(1, -2): sums of p = 1: -1, 2; of p = 2: 5, 20; of p = 3: -7, 56."""
    found = gram_rows(torch.tensor([[1.0, -2.0]]), (1, 2, 3))[0]
    expected = [[-1, 2], [5**0.5, 20**0.5], [-(7 ** (1 / 3)), 56 ** (1 / 3)]]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_huge_and_tiny_features_neither_overflow_nor_vanish():
    x = data(count=4)[0].double()
    expected = gram_rows(x, POWERS)
    for scale in (1e100, 1e-100):
        found = gram_rows(x * scale, POWERS) / scale**2
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_deviation_of_known_numbers():
    """Below by 1 of 2, in between, above by 3 of 4, above a bound of 0."""
    values = torch.tensor([[[1.0, 5.0], [7.0, 1e-6]]])
    minimum = torch.tensor([[[2.0, 4.0], [0.0, -1.0]]])
    maximum = torch.tensor([[[3.0, 6.0], [4.0, 0.0]]])
    found = gram_deviation(values.double(), minimum, maximum)
    assert found.item() == pytest.approx(0.5 + 0.75 + 1)
    found = gram_deviation(values.double(), minimum, maximum, eps=1e-4)
    assert found.item() == pytest.approx(0.5 + 0.75 + 0.01)


@pytest.mark.parametrize('num_classes', [1, 3])
@pytest.mark.parametrize('relu', [False, True])
@pytest.mark.parametrize('by_confidence', [False, True])
def test_score_by_hand(num_classes, relu, by_confidence):
    train, labels = data(num_classes=num_classes, relu=relu)
    score = fitted(train, labels, num_classes, by_confidence=by_confidence)
    x, classes = data(10, num_classes=num_classes)
    expected = []
    for row, c in zip(by_hand(2 * x), classes):
        seen = by_hand(train[labels == c])
        expected.append(deviation_by_hand(row, seen.min(0), seen.max(0)))
    view = views(2 * x, classes, num_classes)
    view.logits /= 4  # so that no class is certain
    found = score(view)
    if by_confidence:
        expected /= softmax(view.logits.double().numpy(), axis=1).max(1)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert found.max() > 1


def test_the_published_score_divides_by_the_confidence():
    train, labels = data()
    score, plain = fitted(train, labels), fitted(train, labels)
    assert score.by_confidence
    plain.by_confidence = False
    x = 3 * torch.randn(4, 5)
    view = Samples(torch.tensor([[0.0, 0.0, 0.0]]).expand(4, 3), x)
    torch.testing.assert_close(score(view), 3 * plain(view))


def test_counts_the_samples_of_each_class():
    train, labels = data()
    score = fitted(train, labels)
    assert score.count.tolist() == labels.bincount().tolist()


def test_training_samples_do_not_deviate():
    train, labels = data()
    score = fitted(train, labels, step=7)
    found = score(views(train, labels))
    np.testing.assert_allclose(found, np.zeros(60), atol=1e-9)
    # As another class they do.
    assert (score(views(train, (labels + 1) % 3)) > 0).any()


@pytest.mark.parametrize('chunk', [1, 100, 2**22])
def test_batches_and_chunks_do_not_matter(chunk, monkeypatch):
    train, labels = data()
    view = views(*data(11))
    whole = fitted(train, labels)(view)
    module = sys.modules[GramMatrices.__module__]
    monkeypatch.setattr(module, 'CHUNK', chunk)
    parts = fitted(train, labels, step=13)(view)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


def test_maps_are_rows():
    train, labels = data()
    score = fitted(train, labels)
    x, logits = 2 * torch.randn(2, 5, 4, 3), torch.randn(2, 3, 4, 3)
    rows = [v.permute(0, 2, 3, 1).flatten(0, 2) for v in (logits, x)]
    found = score(Samples(logits, x))
    assert found.shape == (2, 4, 3)
    np.testing.assert_allclose(found.flatten(), score(Samples(*rows)))
    again = GramMatrices(5, 3)
    again.reset()
    maps = train.view(2, 6, 5, 5).permute(0, 3, 1, 2)
    again.update(Samples(None, maps), labels=labels.view(2, 6, 5))
    again.finish()
    assert_near(again.minimum, score.minimum)


@pytest.mark.parametrize('tail', [(), (4, 3)])
def test_no_samples_to_score(tail):
    score = fitted(*data())
    empty = Samples(torch.zeros(0, 3, *tail), torch.zeros(0, 5, *tail))
    assert score(empty).shape == (0, *tail)


def test_an_unseen_class_has_the_ranges_of_all():
    train, labels = data(num_classes=2)
    score = GramMatrices(5, 4, by_confidence=False)
    score.reset()
    score.update(views(train, labels), labels=labels)
    with pytest.warns(UserWarning, match=r'2 \(c\), 3 \(d\): it gets') as all_:
        score.finish('abcd')
    assert len(all_) == 1
    x = 2 * torch.randn(8, 5)
    seen = by_hand(train)
    expected = [
        deviation_by_hand(row, seen.min(0), seen.max(0)) for row in by_hand(x)
    ]
    for c in (2, 3):
        found = score(views(x, torch.full((8,), c), 4))
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_no_sample_to_fit_on():
    score = GramMatrices(5, 3)
    score.reset()
    labels = torch.zeros(0, dtype=torch.int64)
    score.update(views(torch.zeros(0, 5), labels), labels=labels)
    with pytest.raises(ValueError, match='no sample .* annotations'):
        score.finish()
    assert not score.is_fitted


def test_nan_is_refused_in_the_fit_and_goes_through_in_the_score():
    train, labels = data()
    score = fitted(train, labels)
    train[[3, 5], 1] = float('nan')
    found = score(views(train, labels))
    assert found.isnan().nonzero().flatten().tolist() == [3, 5]
    with pytest.raises(
        ValueError, match='got 2 samples with nan .* features: the'
    ):
        fitted(train, labels)


@pytest.mark.parametrize('powers', [(), (0,), (1, -2), (1.5,)])
def test_bad_powers(powers):
    with pytest.raises(ValueError, match='powers must be whole .* got'):
        GramMatrices(2, 2, powers=powers)
    with pytest.raises(ValueError, match='powers must be whole .* got'):
        gram_rows(torch.zeros(1, 2), powers)
