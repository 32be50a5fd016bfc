"""Residual and ViM against numpy's singular vectors."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from helpers import assert_near
from mmood.scores import LinearClassifier, Residual, Samples, ViM, residual
from mmood.scores.residual import principal_dimension, residual_projection
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

C, K, DIM = 7, 4, 3


def origin_of(train, origin='classifier'):
    if origin == 'mean':
        return train.features.double().numpy().mean(0)
    weight, bias = (
        part.double().numpy()
        for part in (train.classifier.weight, train.classifier.bias)
    )
    return np.linalg.lstsq(weight, -bias, rcond=None)[0]


def residual_by_hand(train, x, dim=DIM, origin='classifier'):
    """What is left of x by the first right singular vectors."""
    origin = origin_of(train, origin)
    centered = train.features.double().numpy() - origin
    principal = np.linalg.svd(centered, full_matrices=False)[2][:dim]
    x = x.features.double().numpy() - origin
    left = x - x @ principal.T @ principal
    return np.sqrt((left**2).sum(1))


def vim_by_hand(train, x, **options):
    logits, z = (v.logits.double().numpy() for v in (train, x))
    scale = (
        logits.max(1).sum() / residual_by_hand(train, train, **options).sum()
    )
    virtual = scale * residual_by_hand(train, x, **options)
    return virtual - logsumexp(z, axis=1)


@pytest.mark.parametrize('origin', ['classifier', 'mean'])
@pytest.mark.parametrize(('dim', 'step'), [(0, 1000), (3, 7), (6, 1000)])
def test_both_are_those_of_the_singular_vectors(origin, dim, step):
    train, x = linear_samples(300)[0], linear_samples(20, seed=1)[0]
    options = dict(dim=dim, origin=origin)
    found = fit(Residual(C, **options), train, step=step)(x)
    expected = residual_by_hand(train, x, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    found = fit(ViM(C, **options), train, step=step)(x)
    expected = vim_by_hand(train, x, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_origin_has_no_logits():
    """More channels than classes: there the classifier gives 0."""
    train = linear_samples(50)[0]
    origin = fit(Residual(C), train).origin
    assert_near(train.classifier(origin[None]), torch.zeros(1, K).double())
    # And with more classes than channels the least squares' one.
    train = linear_samples(50, channels=3, classes=5)[0]
    score = fit(Residual(3), train)
    np.testing.assert_allclose(score.origin, origin_of(train), rtol=1e-5)


def test_scores_of_features_alone_need_no_classifier():
    train, x = linear_samples(300)[0], linear_samples(20, seed=1)[0]
    score = Residual(C, DIM, origin='mean')
    assert score.reads == ('features',)
    assert Residual(C).reads == ('features', 'classifier')
    assert ViM(C, origin='mean').reads == ('features', 'logits')
    found = fit(score, Samples(train.logits, train.features))(
        Samples(features=x.features)
    )
    expected = residual_by_hand(train, x, origin='mean')
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ('channels', 'dim'),
    [(2048, 1000), (1501, 1000), (1500, 512), (768, 512), (767, 383),
     (64, 32), (1, 0)],
)  # fmt: skip
def test_principal_dimension(channels, dim):
    assert principal_dimension(channels) == dim


def test_known_numbers():
    scatter = torch.diag(torch.tensor([1.0, 9.0, 4.0])).double()
    projection = residual_projection(scatter, 1)
    assert_near(projection, torch.diag(torch.tensor([1.0, 0, 1])).double())
    x = torch.tensor([[4.0, 7.0, 5.0], [1.0, 0.0, 1.0]])
    found = residual(x, torch.tensor([1.0, 1, 1]).double(), projection)
    np.testing.assert_allclose(found, [5, 0], atol=1e-12)


def test_maps_are_rows():
    train, x = linear_samples(300)[0], linear_samples(40, seed=1)[0]
    for kind in (Residual, ViM):
        score = fit(kind(C, DIM), train)
        assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
        again = kind(C, DIM)
        again.reset()
        again.update(as_maps(train))
        again.finish()
        assert_near(again(x), score(x))


def test_a_random_sample_gives_nearly_the_scale():
    train = linear_samples(4000)[0]
    every = fit(ViM(C, DIM), train).scale.item()
    some = fit(ViM(C, DIM, sample_size=1000), train, step=300).scale.item()
    assert some != every
    assert some == pytest.approx(every, rel=0.1)


def test_fewer_samples_than_principal_directions():
    """Which are then those that the samples span; nothing else is."""
    train = linear_samples(2)[0]
    score = fit(Residual(C, 5), train)
    assert_near(score(train), torch.zeros(2).double())
    assert score.projection.trace() == pytest.approx(C - 2)
    other = score(linear_samples(9, seed=1)[0])
    assert (other > 0.1).all()
    with pytest.raises(ValueError, match='leave their 5 principal .* lower'):
        fit(ViM(C, 5), train)


def test_no_sample_and_constant_features():
    train = linear_samples(9)[0]
    for kind in (Residual, ViM):
        with pytest.raises(ValueError, match=f'to fit {kind.__name__} on'):
            fit(kind(C), train[:0])
        same = Samples(train.logits, torch.ones(9, C))
        with pytest.raises(ValueError, match='all 9 features are the same'):
            fit(kind(C, origin='mean'), same)


def test_one_class():
    train = linear_samples(50, classes=1)[0]
    x = linear_samples(9, seed=1, classes=1)[0]
    train.logits = train.logits.abs()
    found = fit(ViM(C, DIM), train)(x)
    np.testing.assert_allclose(found, vim_by_hand(train, x), rtol=1e-4)


def test_logits_that_are_negative_would_turn_it_around():
    train = linear_samples(50)[0]
    train.logits = train.logits - 100
    with pytest.raises(ValueError, match="must be positive.*'residual'"):
        fit(ViM(C, DIM), train)


def test_bad_arguments():
    for dim in (-1, C, C + 1):
        with pytest.raises(ValueError, match=rf'dim must be in 0\.\.6.*{dim}'):
            Residual(C, dim)
    with pytest.raises(ValueError, match="origin must be of .* got 'zero'"):
        ViM(C, origin='zero')
    with pytest.raises(ValueError, match='size must be at least 1, got 0'):
        ViM(C, sample_size=0)
    train = linear_samples(9)[0]
    train.classifier = LinearClassifier(torch.ones(K, 3), torch.ones(K))
    with pytest.raises(ValueError, match=r'\(N, 7, \*\), got \(4, 3\)'):
        fit(Residual(C), train)


def test_what_is_stored_does_not_depend_on_the_order():
    """Singular vectors could turn or flip."""
    train = linear_samples(60)[0]
    one = fit(Residual(C, DIM), train)
    two = fit(Residual(C, DIM), train[torch.randperm(60)], step=7)
    assert_near(two.projection, one.projection)


def test_vim_is_that_of_pytorch_ood():
    train, labels = linear_samples(300)
    x = linear_samples(20, seed=1)[0]
    layer = train.classifier
    other = detector('vim', 'ViM')(None, DIM, layer.weight, layer.bias)
    other.fit_features(train.features, labels)
    expected = other.predict_features(x.features)
    found = fit(ViM(C, DIM), train)(x)
    assert_near(found.float(), expected, rtol=1e-3, atol=1e-3)
