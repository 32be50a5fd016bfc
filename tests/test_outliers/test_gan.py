"""GAN synthesis: the losses by scikit-learn, the signs by hand."""

import pytest
import torch
import torch.nn.functional as F
from scipy.special import expit
from sklearn.metrics import log_loss

from batches import classify, contrast_batch, known_batch
from mmood.losses import ConfidenceLoss
from mmood.outliers import GANSynthesis, gan_loss, reverse_gradient
from mmood.registry import MODELS


def gan(channels=6, **kwargs):
    options = dict(latent=3, hidden=8, **kwargs)
    return GANSynthesis(channels, **options).eval()


def features(n, channels=6):
    return torch.randn(n, channels).relu().requires_grad_()


def loss_of(module, x):
    return module(known_batch(x))[1]['loss_gan']


def gradients(loss, module):
    return torch.autograd.grad(loss, list(module.parameters()))


def test_reversal_keeps_the_value_and_negates_the_gradient():
    x = (100 * torch.randn(50)).requires_grad_()
    weights = torch.randn(50)
    y = reverse_gradient(x)
    assert torch.equal(y, x)
    (y * weights).sum().backward()
    assert torch.equal(x.grad, -weights)


def test_gan_loss_matches_sklearn():
    known, fake = torch.randn(5), torch.randn(3)
    expected = sum(
        log_loss([label] * len(z), expit(z.double().numpy()), labels=[0, 1])
        for z, label in ((known, 1), (fake, 0))
    )
    assert gan_loss(known, fake).item() == pytest.approx(expected, rel=1e-5)


def test_gan_loss_is_finite_for_a_certain_discriminator():
    wrong = gan_loss(torch.tensor([-500.0]), torch.tensor([500.0]))
    assert wrong.item() == 1000
    assert gan_loss(torch.zeros(0), torch.zeros(0)).item() == 0


@pytest.mark.parametrize(
    ('part', 'sign'), [('generator', -1), ('discriminator', 1)]
)
def test_generator_climbs_what_the_discriminator_descends(part, sign):
    module, x = gan(loss_weight=0.3), features(5)
    part = getattr(module, part)
    torch.manual_seed(1)
    loss = loss_of(module, x)
    found = gradients(loss, part)
    torch.manual_seed(1)
    plain = 0.3 * gan_loss(
        module.discriminator(x.detach()).flatten(),
        module.discriminator(module.generate(5)).flatten(),
    )
    torch.testing.assert_close(loss, plain)
    for got, expected in zip(found, gradients(plain, part)):
        torch.testing.assert_close(got, sign * expected)
        assert got.abs().max() > 0


def test_known_features_get_no_gradient():
    module, x = gan(), features(5)
    outliers, losses = module(known_batch(x))
    (losses['loss_gan'] + outliers.features.sum()).backward()
    assert x.grad is None


def test_outliers_hand_the_outlier_loss_to_the_generator_unreversed():
    module, x, classifier = gan(), features(5), torch.nn.Linear(6, 4)
    torch.manual_seed(1)
    outliers = module(known_batch(x))[0].features
    batch = contrast_batch(torch.zeros(0, 4), classifier(outliers))
    found = ConfidenceLoss()(batch)['loss_uncertainty']
    torch.manual_seed(1)
    log_p = classifier(module.generate(5)).log_softmax(1)
    expected = F.kl_div(
        log_p, torch.full_like(log_p, 0.25), reduction='batchmean'
    )
    pairs = zip(
        gradients(found, module.generator),
        gradients(expected, module.generator),
    )
    for got, wanted in pairs:
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(('number', 'expected'), [(None, 5), (9, 9)])
def test_outliers_are_many_and_not_negative(number, expected):
    samples, _ = gan(num_samples=number)(known_batch(features(5)))
    outliers = samples.features
    torch.testing.assert_close(samples.logits, classify(outliers)[:, :3])
    assert outliers.shape == (expected, 6)
    assert outliers.min() >= 0
    assert outliers.max() > 0
    assert len(outliers.unique(dim=0)) == expected


@pytest.mark.parametrize('number', [None, 4])
@pytest.mark.parametrize('n', [0, 5])
@pytest.mark.parametrize('active', [True, False])
def test_every_parameter_has_a_gradient(number, n, active):
    start = None if active else 1
    module = gan(num_samples=number, start_iter=start).train()
    outliers, losses = module(known_batch(features(n)))
    made = active * (n if number is None else number)
    assert (0 if outliers is None else len(outliers)) == made
    total = outliers.features.sum() if made else 0
    (losses['loss_gan'] + total).backward()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    empty = n == 0 and number is None
    assert (losses['loss_gan'].item() == 0) == empty


def test_it_learns_before_it_is_active():
    module, x = gan(start_iter=2), features(5)
    losses = []
    for iteration in (1, 2):
        torch.manual_seed(1)
        outliers, found = module(known_batch(x, iteration=iteration))
        assert (outliers is not None) == (iteration == 2)
        losses.append(found['loss_gan'].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] > 0


def test_discriminator_learns_to_tell_then_generator_to_fool():
    module = GANSynthesis(6, latent=3, hidden=8, num_samples=32)
    centre = torch.linspace(1, 3, 6)

    def known():
        return (centre + 0.2 * torch.randn(32, 6)).relu()

    def learn(part, steps):
        optimizer = torch.optim.Adam(part.parameters(), lr=0.02)
        for _ in range(steps):
            loss = loss_of(module, known())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def known_shares():
        """Shares of known and of made features that D takes for known."""
        with torch.no_grad():
            samples = known(), module.generate(200)
            return [
                (module.discriminator(x) > 0).float().mean().item()
                for x in samples
            ]

    learn(module.discriminator, 60)
    real, made = known_shares()
    assert real > 0.95
    assert made < 0.05
    learn(module.generator, 30)
    assert known_shares()[1] > 0.95


def test_discriminator_is_1_lipschitz():
    module = GANSynthesis(6, latent=3, hidden=8)
    for layer in module.discriminator[::2]:
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(50)
    for _ in range(50):
        module(known_batch(features(4)))
    a, b = 9 * torch.randn(2, 300, 6)
    change = (module.discriminator(a) - module.discriminator(b)).norm(dim=1)
    assert (change <= 1.01 * (a - b).norm(dim=1)).all()


@pytest.mark.parametrize('name', ['latent', 'hidden', 'num_samples'])
@pytest.mark.parametrize('size', [0, -1])
def test_refuses_sizes_below_one(name, size):
    with pytest.raises(ValueError, match=f'{name}.* at least 1.*{size}'):
        GANSynthesis(6, **{name: size})


def test_builds_from_a_config():
    module = MODELS.build(dict(type='mmood.GANSynthesis', channels=12))
    assert isinstance(module, GANSynthesis)
    outliers, _ = module(known_batch(features(3, 12)))
    assert outliers.features.shape == (3, 12)
    assert (module.latent, module.num_samples, module.loss_weight) == (
        100,
        None,
        1.0,
    )
