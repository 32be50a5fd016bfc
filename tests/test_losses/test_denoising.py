"""DenoisingLoss against DOoD's formula, computed in float64."""

import numpy as np
import pytest
import torch

from mmood.losses import Batch, DiffusionScore
from mmood.registry import MODELS
from mmood.scores import Samples
from seg_helpers import lively, tiny_loss

ALPHA_BARS = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
IGNORED = 255


def build(unet=False, **options):
    """A loss of random weights that has seen no feature yet."""
    return lively(MODELS.build(tiny_loss(unet, **options))).train()


def of(module, features, label=None):
    """The loss of maps with labels, or of vectors."""
    return module(Batch(features=features, labels=label))['loss_denoise']


def maps(batch=2, size=(4, 4)):
    return torch.randn(batch, 32, *size)


def labels(batch=2, size=(16, 16)):
    return torch.zeros(batch, *size, dtype=torch.long)


def fixed(x0):
    """Times and noise that follow from the features alone."""
    code = x0.reshape(len(x0), -1).double().sum(1)
    t = (code * 1e4).long() % 1000
    noise = torch.sin(1e3 * x0.double()).to(x0)
    return t, noise


@pytest.fixture
def deterministic(monkeypatch):
    """Loss as a function of the features, without any chance."""
    cls = type(build())
    monkeypatch.setattr(cls, '_perturbation', lambda self, x0: fixed(x0))


def expected_loss(module, x):
    """DOoD, Eq. 5, of vectors (N, C), in float64."""
    low = module.feature_range.minimum.double()
    high = module.feature_range.maximum.double()
    x0 = (x.double() - (low + high) / 2) / ((high - low) / 2).max()
    t, noise = fixed(x0.float())
    alpha = torch.from_numpy(ALPHA_BARS)[t][:, None]
    x_t = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise
    predicted = module.denoiser(x_t.float(), t).double()
    return (predicted - noise).square().mean()


def vectors_of(features, keep=None):
    """Feature maps as (B h w, C)."""
    vectors = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    return vectors if keep is None else vectors[keep.flatten()]


def gradients(module):
    return [p.grad.clone() for p in module.denoiser.parameters()]


def step(module, features, label):
    module.zero_grad()
    loss = of(module, features, label)
    loss.backward()
    return loss.detach()


def test_nothing_but_ignored_pixels():
    """Zero, with a gradient for each weight, as DDP wants it."""
    for unet in (False, True):
        module = build(unet)
        loss = of(module, maps(), labels() + IGNORED)
        loss.backward()
        assert loss == 0
        assert all((g == 0).all() for g in gradients(module))
        assert module.feature_range.minimum.isinf().all()


def test_ignored_batch_after_a_valid_one_takes_what_the_buffer_holds(
    deterministic,
):
    module, features = build(), maps()
    first = step(module, features, labels())
    again = step(module, maps(), labels() + IGNORED)
    torch.testing.assert_close(again, first)
    assert first > 0


def test_loss_is_the_papers(deterministic):
    module, features = build(), 3 * maps() + 1
    loss = step(module, features, labels())
    expected = expected_loss(module, vectors_of(features))
    torch.testing.assert_close(loss.double(), expected, atol=1e-4, rtol=1e-4)
    minimum = vectors_of(features).amin(0)
    assert torch.equal(module.feature_range.minimum, minimum)


def test_an_untrained_denoiser_has_the_power_of_the_noise():
    """It predicts zero: the loss is the mean square of normal noise."""
    module = MODELS.build(tiny_loss())
    loss = of(module, maps(4, (16, 16)), labels(4))
    # 1024 x 32 squares of variance 2: deviation 0.008.
    assert loss.item() == pytest.approx(1, abs=0.04)


def test_times_are_uniform_and_noise_is_normal():
    module = build()
    t, noise = module._perturbation(torch.zeros(20000, 32))
    assert (int(t.min()), int(t.max())) == (0, 999)
    assert t.double().mean().item() == pytest.approx(499.5, abs=10)
    counts = torch.bincount(t // 100)
    assert (counts - 2000).abs().max() < 220  # 5 sigma
    assert noise.mean().abs() < 0.01
    assert noise.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize('unet', [False, True])
def test_only_valid_pixels_count(deterministic, unet):
    """Cells whose centre is ignored; mixed cells go by their centre."""
    label = labels()
    label[0, :8] = IGNORED  # two rows of cells
    label[1, 4:8, 8:12] = IGNORED  # one cell
    label[1, 0, 0] = IGNORED  # a corner of a cell, not its centre
    keep = torch.ones(2, 4, 4, dtype=torch.bool)
    keep[0, :2] = keep[1, 1, 2] = False
    features = maps()
    module = build(unet)
    loss = step(module, features, label)
    grads = gradients(module)
    low, high = module.feature_range.minimum, module.feature_range.maximum
    valid = vectors_of(features, keep)
    assert torch.equal(low, valid.amin(0))
    assert torch.equal(high, valid.amax(0))
    if unet:  # it sees around a feature: only their own error is left out
        error = unet_error(module, features)
        torch.testing.assert_close(loss, error[keep].mean())
        assert not torch.isclose(loss, error.mean())
        return
    torch.testing.assert_close(
        loss.double(), expected_loss(module, valid), atol=1e-4, rtol=1e-4
    )
    features[~keep[:, None].expand_as(features)] = 1e6
    other = build(unet)
    other.load_state_dict(module.state_dict())
    assert torch.isclose(step(other, features, label), loss)
    for mine, before in zip(gradients(other), grads):
        torch.testing.assert_close(mine, before, atol=1e-6, rtol=1e-4)


def unet_error(module, features):
    """Mean square over the channels, (B, h, w)."""
    x0 = module.feature_range(features)
    t, noise = fixed(x0)
    alpha = torch.from_numpy(ALPHA_BARS).float()[t][:, None, None, None]
    x_t = alpha.sqrt() * x0 + (1 - alpha).sqrt() * noise
    return (module.denoiser(x_t, t) - noise).square().mean(1).detach()


def test_a_batch_mixes_the_images_of_many_steps(deterministic):
    """Steps of 16 vectors, a ring of 32, batches of 24."""
    module = build(batch_size=24, buffer_size=32)
    seen = []
    draw = module.buffer.draw
    module.buffer.draw = lambda count: seen.append(draw(count)) or seen[-1]
    for number in range(4):
        of(module, torch.full((1, 32, 4, 4), float(number)), labels(1))
    held = [sorted({int(v) for v in x[:, 0]}) for x in seen]
    assert held == [[0], [0, 1], [1, 2], [2, 3]]
    assert [len(x) for x in seen] == [16, 24, 24, 24]


def test_a_step_puts_no_more_than_a_batch_into_the_buffer():
    """Else one step with many vectors would push all others out."""
    module = build(batch_size=5, buffer_size=50)
    features = maps()
    of(module, features, labels())
    assert len(module.buffer) == 5
    held, valid = module.buffer.draw(5), vectors_of(features)
    assert (held[:, None] == valid).all(2).any(1).all()
    # The range is that of all of them.
    assert torch.equal(module.feature_range.maximum, valid.amax(0))


def test_which_vectors_go_in_is_chance():
    module = build(batch_size=4, buffer_size=4)
    numbers = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 32, 4, 4)
    counts = torch.zeros(16)
    for _ in range(200):
        of(module, numbers, labels(1))
        counts[module.buffer.draw(4)[:, 0].long()] += 1
    # 200 x 4 / 16 = 50 each, deviation 6; 5 sigma.
    assert (counts - 50).abs().max() < 31


def test_fewer_features_than_a_batch(deterministic):
    module, features = build(batch_size=4096), maps(1, (1, 2))
    loss = step(module, features, labels(1))
    expected = expected_loss(module, vectors_of(features))
    torch.testing.assert_close(loss.double(), expected, atol=1e-4, rtol=1e-4)


def test_vectors_that_are_mixed_already(deterministic):
    """The way of cached features: no buffer in between."""
    module, x = build(batch_size=3), torch.randn(40, 32)
    loss = of(module, x.half())
    expected = expected_loss(module, x.half())
    torch.testing.assert_close(loss.double(), expected, atol=1e-4, rtol=1e-4)
    assert len(module.buffer) == 0


def test_half_features_are_raised(deterministic):
    module, features = build(), maps()
    loss = step(module, features.half(), labels())
    other = build()
    other.load_state_dict(module.state_dict())
    again = step(other, features.half().float(), labels())
    torch.testing.assert_close(again, loss)  # up to the order of the sum
    assert module.buffer.draw(1).dtype == torch.float32


@pytest.mark.parametrize(
    'call',
    [
        lambda module: of(module, torch.zeros(1, 16, 2, 2), labels(1)),
        lambda module: of(module, torch.zeros(3, 16)),
        lambda module: DiffusionScore([module])(
            Samples(features=torch.zeros(3, 16))
        ),
    ],
)
def test_features_of_another_width(call):
    message = 'have 16 channels .* built for 32: set its channels to 16'
    with pytest.raises(ValueError, match=message):
        call(build())


def test_dtype_alone_says_the_precision_of_the_score():
    """With and without autocast around; bfloat16 is near, not equal."""
    module = build()
    of(module, maps(4), labels(4))  # the range
    features = Samples(features=maps(), keys=['a', 'b'])
    found = {}
    for dtype in ('float32', 'bfloat16'):
        score = DiffusionScore([module.eval()], dtype=dtype)
        found[dtype] = score(features)
        with torch.autocast('cpu', torch.bfloat16):
            torch.testing.assert_close(score(features), found[dtype])
        assert found[dtype].dtype == torch.float32
    exact, half = found.values()
    torch.testing.assert_close(half, exact, atol=0.02, rtol=0)
    assert not torch.isclose(half, exact, atol=1e-6, rtol=0).all()
    with pytest.raises(ValueError, match="dtype .* got 'half'"):
        DiffusionScore([module], dtype='half')(features)


@pytest.mark.parametrize('batch_size', [0, -1])
def test_bad_batch_size(batch_size):
    with pytest.raises(ValueError, match=f'positive, got {batch_size}'):
        build(batch_size=batch_size)


def test_the_denoiser_knows_the_times_of_the_diffusion():
    module = build(diffusion=dict(num_steps=10))
    assert module.denoiser.num_steps == 10
    t, _ = module._perturbation(torch.zeros(500, 32))
    assert int(t.max()) == 9


def test_a_denoiser_of_maps_takes_no_vectors():
    with pytest.raises(ValueError, match='denoises maps, got vectors: set ma'):
        of(build(unet=True), torch.zeros(3, 32))
