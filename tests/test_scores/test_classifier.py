"""The last layer as scores see it. Shapes: N, K classes, C channels."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.registry import SCORES
from mmood.scores import LinearClassifier, Samples, ScoreSet, register_score
from mmood.scores.classifier import linear_of, why_not_linear

C, K = 6, 4


def random_classifier():
    return LinearClassifier(torch.randn(K, C), torch.randn(K))


@pytest.mark.parametrize('trailing', [(), (5, 3)])
@pytest.mark.parametrize('count', [0, 1, 7])
def test_boxes_and_maps_take_one_path(trailing, count):
    classify, x = random_classifier(), torch.randn(count, C, *trailing)
    weight, bias = classify.weight.numpy(), classify.bias.numpy()
    expected = np.einsum('kc,nc...->nk...', weight, x.numpy())
    expected += bias.reshape(K, *[1] * len(trailing))
    found = classify(x)
    assert found.shape == (count, K, *trailing)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_it_is_not_rounded_to_halves():
    classify, x = random_classifier(), torch.randn(9, C).bfloat16()
    expected = classify(x.float())
    with torch.autocast('cpu', torch.bfloat16):
        assert_near(classify(x), expected)


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('kind', ['linear', 'conv'])
def test_it_is_the_layer_without_the_background(kind, bias):
    if kind == 'linear':
        layer, x = nn.Linear(C, K + 1, bias), torch.randn(3, C)
    else:
        layer, x = nn.Conv2d(C, K + 1, 1, bias=bias), torch.randn(3, C, 2, 5)
    assert not why_not_linear(layer)
    found = linear_of(layer, K)
    assert_near(found(x), layer(x)[:, :K].detach())
    assert not found(x).requires_grad
    assert len(linear_of(layer).weight) == K + 1


def test_it_follows_the_layer():
    """As where an average takes the place of the weights."""
    layer, x = nn.Linear(C, K), torch.randn(3, C)
    found = linear_of(layer)
    with torch.no_grad():
        layer.weight.mul_(2)
    assert_near(found(x), layer(x).detach())


class Cosine(nn.Linear):
    def forward(self, x):
        return nn.functional.normalize(x) @ self.weight.T


@pytest.mark.parametrize(
    ('layer', 'reason'),
    [
        (Cosine(C, K), 'a Cosine, no nn.Linear'),
        (nn.Conv2d(C, K, 3), r'convolution of \(3, 3\) pixels'),
        (nn.Conv2d(C, K, 1, groups=2), 'in 2 groups'),
        (None, 'no last layer'),
    ],
)
def test_what_is_no_classifier(layer, reason):
    assert linear_of(layer) is None
    assert re.search(reason, why_not_linear(layer))


def test_samples_hand_it_on():
    """It is of all samples, and not counted or cut with them."""
    classify = random_classifier()
    samples = Samples(features=torch.randn(4, C), classifier=classify)
    assert samples.has('classifier') and not samples.has('logits')
    some = samples[torch.tensor([True, False, True, False])]
    both = Samples.cat(some, samples)
    assert (len(samples), len(some), len(both)) == (4, 2, 6)
    for found in (some, both):
        assert found.classifier is classify
    assert not Samples(logits=torch.randn(4, K)).has('classifier')


@pytest.fixture
def largest():
    """A score of the classifier, by its name."""

    @register_score('largest', reads=('features', 'classifier'))
    def largest(samples):
        return -samples.classifier(samples.features).amax(1)

    yield 'largest'
    SCORES.module_dict.pop('largest')


def test_a_model_without_one_is_refused_with_the_reason(largest):
    config = dict(num_classes=K, channels=C)
    with pytest.raises(ValueError, match='largest.*come without it'):
        ScoreSet([largest], **config)
    with pytest.raises(ValueError, match='largest.*has none'):
        ScoreSet([largest], **config, missing=dict(classifier='it has none'))
    scores = ScoreSet([largest], **config, missing=dict(classifier=''))
    classify, x = random_classifier(), torch.randn(5, C)
    found = scores(Samples(features=x, classifier=classify))
    assert_near(found[largest], -classify(x).amax(1))


def test_the_classifier_goes_with_features():
    with pytest.raises(ValueError, match='without features'):
        register_score('lone', reads=('logits', 'classifier'))
