"""FeatureRange: PROTOCOLS.md, section 3h, and what it must not do."""

import sys

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.ops import FeatureRange
from waits import Waits


def seen(*batches, channels=None, **kwargs):
    module = FeatureRange(channels or batches[0].shape[1], **kwargs)
    for batch in batches:
        module.update(batch)
    return module


def released(x, low, high, per_channel):
    """The normalization of DOoD's checkpoints, of vectors (N, C)."""
    shift = (low + high) / 2
    scale = (high - low) / 2
    return (x - shift) / (scale if per_channel else scale.max())


def test_known_numbers():
    """Channels [0, 4] and [-1, 1]: centres 2 and 0, half ranges 2 and 1."""
    x = torch.tensor([[0.0, -1.0], [4.0, 1.0], [1.0, 0.5]])
    expected = torch.tensor([[-1.0, -0.5], [1.0, 0.5], [-0.5, 0.25]])
    assert_near(seen(x)(x), expected)
    expected[:, 1] *= 2
    assert_near(seen(x, per_channel=True)(x), expected)
    outside = torch.tensor([[8.0, 3.0]])  # not clipped
    assert_near(seen(x)(outside), torch.tensor([[3.0, 1.5]]))


@pytest.mark.parametrize('per_channel', [False, True])
@pytest.mark.parametrize('tail', [(), (5,), (3, 4)])
def test_is_the_released_normalization(per_channel, tail):
    train = torch.randn(50, 7) * torch.rand(7) * 9 + torch.randn(7)
    module = seen(train[:20], train[20:], per_channel=per_channel)
    x = torch.randn(6, 7, *tail)
    rows = x.movedim(1, -1).reshape(-1, 7).double().numpy()
    low, high = (
        getattr(train.double().numpy(), name)(axis=0)
        for name in ('min', 'max')
    )
    expected = released(rows, low, high, per_channel)
    found = module(x).movedim(1, -1).reshape(-1, 7).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_extremes_do_not_depend_on_the_batches():
    x = torch.randn(40, 3)
    whole = seen(x)
    parts = seen(*x.split([1, 0, 30, 9]))
    assert torch.equal(whole.minimum, x.amin(0))
    assert torch.equal(whole.maximum, x.amax(0))
    assert torch.equal(parts.minimum, whole.minimum)
    assert torch.equal(parts.maximum, whole.maximum)
    whole.update(x[:5] / 2)  # inside the range: nothing changes
    assert torch.equal(parts.maximum, whole.maximum)


def test_no_vector_leaves_the_range_as_it_is():
    module = seen(torch.tensor([[1.0], [3.0]]))
    module.update(torch.zeros(0, 1))
    assert (module.minimum.item(), module.maximum.item()) == (1, 3)


@pytest.mark.parametrize('batches', [[], [torch.zeros(0, 2)]])
def test_refuses_to_normalize_by_nothing(batches):
    module = seen(*batches, channels=2)
    with pytest.raises(RuntimeError, match='range .* unknown: train'):
        module(torch.zeros(1, 2))


@pytest.mark.parametrize('per_channel', [False, True])
def test_a_channel_without_spread(per_channel):
    """A dead channel is 0, and finite where it lives after all."""
    x = torch.tensor([[5.0, 0.0], [5.0, 2.0]])
    module = seen(x, per_channel=per_channel)
    assert module(x).tolist() == [[0, -1], [0, 1]]
    assert module(x + 1).tolist() == [[1, 0], [1, 2]]


@pytest.mark.parametrize('per_channel', [False, True])
def test_a_single_vector_is_the_origin(per_channel):
    x = torch.randn(1, 4)
    module = seen(x, per_channel=per_channel)
    assert torch.equal(module(x), torch.zeros(1, 4))
    assert torch.isfinite(module(x + 1)).all()


def test_halves_and_gradients():
    x = torch.tensor([[0.0, -1.0], [4.0, 1.0]])
    module = seen(x.half())
    assert torch.equal(module.maximum, torch.tensor([4.0, 1.0]))
    x.requires_grad_()
    module.update(x)
    module(x).sum().backward()
    assert torch.equal(x.grad, torch.full((2, 2), 0.5))
    assert not module.minimum.requires_grad


def test_the_range_is_in_the_state_dict_and_in_place():
    """DDP and optimizers hold references to buffers."""
    module = FeatureRange(3)
    minimum = module.minimum
    module.update(torch.randn(9, 3))
    assert module.minimum is minimum
    assert sorted(module.state_dict()) == ['maximum', 'minimum']
    other = FeatureRange(3)
    other.load_state_dict(module.state_dict())
    x = torch.randn(2, 3, 2, 2)
    assert_near(other(x), module(x))


def test_whether_the_range_is_known_is_asked_once():
    """And again after another state is loaded."""
    x, empty = torch.randn(4, 3), FeatureRange(3).state_dict()
    module = seen(x)
    expected = module(x)
    with Waits():
        assert module(x).shape == expected.shape
    module.load_state_dict(empty)
    with pytest.raises(RuntimeError, match='range .* unknown'):
        module(x)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_one_bad_batch_does_not_end_the_range(value):
    x = torch.randn(20, 3)
    module = seen(x)
    bad = x * 9
    bad[[2, 5], 1] = value
    with pytest.raises(ValueError, match='2 feature vectors .* are nan or'):
        module.update(bad)
    assert torch.equal(module.minimum, x.amin(0))
    module.update(2 * x)
    assert_near(module.maximum, 2 * x.amax(0))


def test_a_bad_batch_of_another_rank_counts(monkeypatch):
    def all_reduce(value, op='sum'):
        value += op == 'sum'  # the other rank has one bad vector

    module = sys.modules['mmood.ops.feature_range']
    monkeypatch.setattr(module, 'all_reduce', all_reduce)
    ours = FeatureRange(3)
    with pytest.raises(ValueError, match='1 feature vectors'):
        ours.update(torch.randn(4, 3))
    assert torch.isinf(ours.maximum).all()
