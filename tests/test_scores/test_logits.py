"""Logit scores against scipy."""

import numpy as np
import pytest
import scipy.special
import torch

from helpers import assert_near
from mmood.registry import SCORES
from mmood.scores import (
    class_logits,
    energy,
    entropy,
    gen,
    joint_energy,
    max_logit,
    msp,
)
from mmood.scores.samples import Samples
from pytorch_ood_helpers import detector

SHAPES = [(4, 7), (2, 7, 5, 3), (0, 7), (3, 1)]
FUNCTIONS = dict(
    energy=energy, entropy=entropy, gen=gen, max_logit=max_logit, msp=msp
)
NAMES = sorted(FUNCTIONS)


def gen_by_hand(p, gamma, top):
    """Of probabilities (N, K, *)."""
    largest = np.sort(p, axis=1)[:, ::-1][:, :top]
    return (largest**gamma * (1 - largest) ** gamma).sum(1)


REFERENCES = dict(
    energy=lambda z: -scipy.special.logsumexp(z, axis=1),
    entropy=lambda z: scipy.special.entr(scipy.special.softmax(z, axis=1)).sum(
        1
    ),
    gen=lambda z: gen_by_hand(scipy.special.softmax(z, axis=1), 0.1, 100),
    max_logit=lambda z: -z.max(axis=1),
    msp=lambda z: 1 - scipy.special.softmax(z, axis=1).max(axis=1),
)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('name', NAMES)
def test_matches_scipy(name, shape):
    logits = torch.randn(shape) * 4
    scores = FUNCTIONS[name](logits)
    expected = REFERENCES[name](logits.double().numpy())
    assert scores.shape == expected.shape
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dim', [0, 1, -1])
@pytest.mark.parametrize('name', NAMES)
def test_dim_says_where_the_classes_are(name, dim):
    logits = torch.randn(3, 4, 5)
    score = FUNCTIONS[name]
    expected = score(logits.movedim(dim, 1))
    torch.testing.assert_close(score(logits, dim=dim), expected)


def test_one_class():
    logits = torch.tensor([[3.5], [-200.0], [0.0]])
    assert_near(energy(logits), -logits[:, 0])
    assert torch.equal(max_logit(logits), -logits[:, 0])
    assert_near(msp(logits), torch.zeros(3))
    assert_near(entropy(logits), torch.zeros(3))


@pytest.mark.parametrize('name', NAMES)
def test_flat_logits_are_more_ood_than_confident_ones(name):
    logits = torch.tensor([[9.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    confident, unsure, flat = FUNCTIONS[name](logits)
    assert confident < unsure < flat


@pytest.mark.parametrize('classes', [2, 10])
def test_ranges_are_reached_at_both_ends(classes):
    flat, sure = torch.zeros(1, classes), torch.zeros(1, classes)
    sure[0, 0] = 500
    assert msp(flat).item() == pytest.approx(1 - 1 / classes)
    assert entropy(flat).item() == pytest.approx(np.log(classes), rel=1e-5)
    assert msp(sure).item() == 0
    assert entropy(sure).item() == 0


@pytest.mark.parametrize('name', NAMES)
def test_huge_logits_do_not_overflow(name):
    logits = torch.tensor([[3e4, -3e4], [-3e4, -3e4]])
    scores = FUNCTIONS[name](logits).numpy()
    expected = REFERENCES[name](logits.double().numpy())
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', NAMES)
def test_half_precision_keeps_the_ranking_of_confident_samples(name, dtype):
    logits = torch.zeros(8, 3)
    logits[:, 0] = torch.arange(5, 13)
    scores = FUNCTIONS[name](logits.to(dtype))
    assert scores.dtype == torch.float32
    assert_near(scores, FUNCTIONS[name](logits))
    assert (scores.diff() < 0).all()
    # Computed in half precision the most confident ones would be tied.
    in_half = 1 - logits.to(dtype).softmax(1).amax(1)
    assert len(in_half.unique()) < 8


@pytest.mark.parametrize('temperature', [0.5, 2.0, 100.0])
def test_energy_temperature(temperature):
    logits = torch.randn(4, 7, dtype=torch.float64)
    scaled = logits.numpy() / temperature
    expected = -temperature * scipy.special.logsumexp(scaled, axis=1)
    np.testing.assert_allclose(
        energy(logits, temperature=temperature).numpy(), expected
    )


def test_cold_energy_is_the_max_logit():
    logits = torch.randn(4, 7)
    torch.testing.assert_close(
        energy(logits, temperature=1e-3), max_logit(logits), atol=1e-2, rtol=0
    )


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('shape', [(3, 4), (2, 3, 2, 2)])
def test_gradient_is_the_numerical_one(name, shape):
    logits = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(FUNCTIONS[name], logits)


@pytest.mark.parametrize('name', NAMES)
def test_no_samples_pass_a_gradient(name):
    logits = torch.zeros(0, 5, requires_grad=True)
    FUNCTIONS[name](logits).sum().backward()
    assert logits.grad.shape == (0, 5)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('shape', [(3, 0), (0, 0), (2, 0, 4, 4), ()])
def test_refuses_logits_without_a_class(name, shape):
    with pytest.raises(ValueError, match='no class'):
        FUNCTIONS[name](torch.zeros(shape))


@pytest.mark.parametrize('temperature', [0, -1.0, float('nan')])
def test_energy_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=f'temperature .*got {temperature}'):
        energy(torch.zeros(1, 2), temperature=temperature)


@pytest.mark.parametrize('name', NAMES)
def test_registered_scores_are_the_functions(name):
    logits = torch.randn(5, 4, 3)
    found = SCORES.get(name)(Samples(logits))
    assert_near(found, FUNCTIONS[name](logits))


def test_independent_classes():
    """numpy: each class has a sigmoid of its own."""
    logits = torch.randn(6, 4) * 3
    p = scipy.special.expit(logits.double().numpy())
    samples = Samples(logits, kind='sigmoid')
    expected = dict(
        energy=np.log1p(-p).sum(1), msp=1 - p.max(1), max_logit=-logits.amax(1)
    )
    for name, values in expected.items():
        found = SCORES.get(name)(samples).numpy()
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-6)
    assert_near(SCORES.get('energy')(samples), joint_energy(logits))
    with pytest.raises(ValueError, match='no temperature, got 2'):
        SCORES.get('energy')(samples, temperature=2.0)


@pytest.mark.parametrize('name', NAMES)
def test_one_channel_scores_as_the_two_classes_that_it_is(name):
    """MMSegmentation gives the second class's probability."""
    z = torch.tensor([[-14.0, -1.0, 0.0], [0.5, 8.0, 14.0]])
    two = torch.stack([torch.zeros_like(z), z])
    score = FUNCTIONS[name]
    one = score(class_logits(z.double().sigmoid()[None]), dim=0)
    torch.testing.assert_close(one.float(), score(two, dim=0))
    assert class_logits(two) is two
    half = score(class_logits(z.sigmoid().bfloat16()[None]), dim=0)
    assert torch.isfinite(half).all() and half.dtype == torch.float32


@pytest.mark.parametrize('value', [-0.1, 1.5, float('nan')])
def test_one_channel_of_what_is_no_probability(value):
    with pytest.raises(ValueError, match='one channel must give probabil'):
        class_logits(torch.tensor([[0.5, value]]))


@pytest.mark.parametrize('top', [1, 2, 5, 7, 100])
@pytest.mark.parametrize('gamma', [0.01, 0.1, 0.9])
def test_generalized_entropy_of_the_largest(gamma, top):
    logits = torch.randn(4, 7, 3).double() * 4
    p = scipy.special.softmax(logits.numpy(), axis=1)
    found = gen(logits, gamma=gamma, top=top).numpy()
    np.testing.assert_allclose(found, gen_by_hand(p, gamma, top), rtol=1e-6)


@pytest.mark.parametrize('classes', [2, 10])
def test_generalized_entropy_of_equal_classes(classes):
    expected = classes * ((classes - 1) / classes**2) ** 0.1
    assert gen(torch.zeros(1, classes)).item() == pytest.approx(expected)
    assert gen(torch.zeros(3, 1)).tolist() == [0, 0, 0]


def test_generalized_entropy_keeps_the_digits_of_sure_samples():
    """1 - p of float32 is 0 from a lead of 17 on."""
    logits = torch.zeros(30, 4)
    logits[:, 0] = torch.arange(30)
    p = scipy.special.softmax(logits.double().numpy(), axis=1)
    rest = p[:, 1:].sum(1)
    powers = (p[:, 0] * rest) ** 0.1 + 3 * (p[:, 1] * (1 - p[:, 1])) ** 0.1
    np.testing.assert_allclose(gen(logits).numpy(), powers, rtol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(gamma=0), r'gamma must be in \(0, 1\), got 0'),
        (dict(gamma=1), 'got 1'),
        (dict(gamma=float('nan')), 'got nan'),
        (dict(top=0), 'top must be at least 1, got 0'),
    ],
)
def test_generalized_entropy_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        gen(torch.zeros(1, 2), **options)


def test_generalized_entropy_of_pytorch_ood():
    """It takes the mean of the same terms."""
    other = detector('gen', 'GEN')(None, gamma=0.2, M=3)
    logits = torch.randn(9, 7) * 3
    found = gen(logits, gamma=0.2, top=3)
    assert_near(found, 3 * other.predict_logits(logits))
