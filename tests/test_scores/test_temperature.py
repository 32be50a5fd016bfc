"""Temperature scaling against scipy. Shapes: n samples, K classes."""

import pytest
import scipy.optimize
import scipy.special
import torch

from helpers import assert_near
from mmood.scores import (
    Samples,
    ScoreSet,
    Temperature,
    energy,
    fit_temperature,
    max_logit,
    msp,
)
from pytorch_ood_helpers import detector
from score_helpers import fit

K = 5


def labelled(count=400, sharpness=3.0, seed=0):
    """Logits ``sharpness`` times those that the labels are drawn by."""
    generator = torch.Generator().manual_seed(seed)
    honest = 2 * torch.randn(count, K, generator=generator)
    labels = honest.softmax(1).multinomial(1, generator=generator)[:, 0]
    return sharpness * honest, labels


def by_scipy(logits, labels):
    z, y = logits.double().numpy(), labels.numpy()

    def loss(t):
        log_p = scipy.special.log_softmax(z / t, axis=1)
        return -log_p[range(len(y)), y].mean()

    found = scipy.optimize.minimize_scalar(
        loss, bounds=(0.05, 50), method='bounded', options=dict(xatol=1e-9)
    )
    return found.x


@pytest.mark.parametrize('sharpness', [0.3, 1.0, 6.0])
def test_it_has_the_least_loss(sharpness):
    logits, labels = labelled(sharpness=sharpness)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(by_scipy(logits, labels), rel=1e-4)
    assert found == pytest.approx(sharpness, rel=0.3)


@pytest.mark.parametrize(
    'make',
    [
        lambda z: z[:0].argmax(1),
        lambda z: z.argmax(1),
        lambda z: z.argmin(1),
    ],
)
def test_labels_that_no_temperature_fits(make):
    logits, _ = labelled(20)
    labels = make(logits)
    message = f'fits {len(labels)} ID validation samples: .* some of them'
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits[: len(labels)], labels)


@pytest.mark.parametrize(
    ('name', 'function'),
    [('msp', msp), ('energy', energy), ('max_logit', max_logit)],
)
def test_the_score_is_that_of_the_scaled_logits(name, function):
    logits, labels = labelled()
    score = fit(Temperature(K, score=name), Samples(logits), labels, 37)
    expected = by_scipy(logits, labels)
    assert score.temperature.item() == pytest.approx(expected, rel=1e-4)
    x = labelled(30, seed=1)[0]
    assert_near(score(Samples(x)), function(x / expected), rtol=1e-3)


def test_maps_are_rows():
    logits, labels = labelled(40)
    maps = logits.view(2, 4, 5, K).permute(0, 3, 1, 2)
    score = Temperature(K)
    score.reset()
    score.update(Samples(maps), labels.view(2, 4, 5))
    score.finish()
    expected = fit_temperature(logits, labels)
    assert score.temperature.item() == pytest.approx(expected, rel=1e-6)
    assert_near(
        score(Samples(maps)), score(Samples(logits)).view(2, 4, 5), atol=1e-6
    )


def test_a_sample_of_the_samples_will_do():
    logits, labels = labelled(4000)
    score = fit(Temperature(K, sample_size=1000), Samples(logits), labels)
    again = fit(Temperature(K, sample_size=1000), Samples(logits), labels, 77)
    assert_near(again.temperature, score.temperature)
    expected = fit_temperature(logits, labels)
    assert score.temperature.item() != expected
    assert score.temperature.item() == pytest.approx(expected, rel=0.1)


def test_unlabelled_and_misfit_labels():
    logits, _ = labelled(6)
    score = Temperature(K)
    score.reset()
    with pytest.raises(ValueError, match=r'in 0\.\.4, got 0\.\.5'):
        score.update(Samples(logits), torch.arange(6))


@pytest.mark.parametrize('name', ['energy', 'max_logit', 'msp'])
def test_one_class_has_no_temperature(name):
    with pytest.raises(ValueError, match='one class has probability 1'):
        Temperature(1, score=name)


@pytest.mark.parametrize('name', ['gradnorm', 'mahalanobis', 'odin'])
def test_scores_of_anything_but_logits(name):
    config = dict(type='temperature', score=name)
    with pytest.raises(ValueError, match=f'changes logits, .*{name}.* reads'):
        ScoreSet(
            [config], num_classes=K, channels=3, missing=dict(classifier='')
        )


def test_logits_of_independent_classes():
    with pytest.raises(ValueError, match='softmax logits, and these are of s'):
        ScoreSet(['temperature'], num_classes=K, kind='sigmoid')


def test_pytorch_ood():
    """Its search takes small steps: it stays where ours ends."""
    logits, labels = labelled(sharpness=1.3)
    score = fit(Temperature(K), Samples(logits), labels)
    other = detector('tscaling', 'TemperatureScaling')(None)
    other.t.data.fill_(score.temperature)
    other.fit_logits(logits, labels)
    assert score.temperature.item() == pytest.approx(other.t.item(), rel=1e-3)
    expected = 1 + other.predict_logits(logits).detach()
    assert_near(score(Samples(logits)), expected, atol=1e-3)
    start = detector('tscaling', 'TemperatureScaling')(None)
    start.fit_logits(logits, labels)
    assert 1 < start.t < score.temperature
