"""Dropout sampling against its definition, spelled out.

Shapes: N boxes, C = 6 features, S samples, 4 classes and background.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from helpers import assert_near
from mmood.scores import entropy
from projects.open_set_detection.open_set_detection import (
    DropoutSamplingLinear,
)


def classifier(**kwargs):
    layer = DropoutSamplingLinear(6, 5, **kwargs)
    nn.init.normal_(layer.weight)
    return layer


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize(('p', 'samples'), [(0.5, 30), (0.2, 3), (0.9, 1)])
def test_it_is_the_mean_of_thinned_classifiers(p, samples, bias):
    layer = classifier(p=p, samples=samples, bias=bias).eval()
    x = torch.randn(7, 6)
    weight = layer.weight.detach().numpy()
    shift = layer.bias.detach().numpy() if bias else 0
    found = np.zeros((7, 5))
    for mask in layer.masks.numpy():
        assert set(mask) <= {0.0, 1.0}
        logits = (x.numpy() * mask / (1 - p)) @ weight.T + shift
        found += softmax(logits, axis=1) / samples
    logits = layer(x)
    np.testing.assert_allclose(logits.exp().detach(), found, rtol=1e-4)
    # What mmdet makes of logits gives the mean back.
    torch.testing.assert_close(logits.softmax(1), logits.exp())


def test_without_dropout_it_is_a_linear_classifier():
    layer = classifier(p=0.0, samples=4).eval()
    x = torch.randn(7, 6)
    expected = nn.functional.linear(x, layer.weight, layer.bias).log_softmax(1)
    torch.testing.assert_close(layer(x), expected)


def test_masks_follow_from_the_seed_and_travel_in_checkpoints():
    first, second = classifier(), classifier()
    other = classifier(seed=1)
    assert torch.equal(first.masks, second.masks)
    assert not torch.equal(first.masks, other.masks)
    assert 0.35 < first.masks.mean() < 0.65
    other.load_state_dict(first.state_dict())
    x = torch.randn(3, 6)
    assert_near(other.eval()(x), first.eval()(x))
    assert_near(first(x), first(x))


def test_training_drops_at_random():
    layer = classifier(p=0.5).train()
    x = torch.randn(4, 6)
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    expected = nn.functional.linear(
        nn.functional.dropout(x, 0.5), layer.weight, layer.bias
    )
    assert_near(found, expected)
    assert not torch.equal(layer(x), found)


def test_samples_that_disagree_make_entropy():
    """Two classes that a single feature each argues for."""
    layer = DropoutSamplingLinear(2, 2, samples=200, bias=False).eval()
    with torch.no_grad():
        layer.weight.copy_(10 * torch.eye(2))
    logits = layer(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
    sure, torn = entropy(logits).tolist()
    # Half of the masks keep both or none: even, as are the other two kinds
    # together. The sure one is even where no feature is left.
    assert torn == pytest.approx(np.log(2), abs=0.02)
    share = 1 - 0.25 / 2
    expected = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert sure == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize('training', [True, False])
def test_no_box_has_a_gradient(training):
    layer = classifier().train(training)
    x = torch.zeros(0, 6, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert out.shape == (0, 5)
    assert torch.equal(layer.weight.grad, torch.zeros(5, 6))


@pytest.mark.parametrize(
    ('kwargs', 'text'),
    [
        (dict(p=1.0), r'p must be in \[0, 1\), got 1.0'),
        (dict(p=-0.1), 'got -0.1'),
        (dict(samples=0), 'samples must be at least 1, got 0'),
    ],
)
def test_bad_arguments(kwargs, text):
    with pytest.raises(ValueError, match=text):
        classifier(**kwargs)
