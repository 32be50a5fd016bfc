"""Gates by hand: what they open, their gradients, whose channels are."""

import math

import pytest
import torch
from torch import nn

from helpers import assert_near
from projects.incremental_detection.incremental_detection import TaskGate
from projects.incremental_detection.incremental_detection.gates import (
    exclusive_share,
    negative_entropy,
    straight_through,
)


def gate(bias, channels=3, **options) -> TaskGate:
    """With logits that are its bias, whatever it sees."""
    made = TaskGate(channels, **{'noise': 0.0, **options})
    nn.init.zeros_(made.out.weight)
    made.out.bias.data = torch.tensor(bias)
    return made.train()


def test_forward_is_hard_and_the_gradient_soft():
    logits = torch.tensor([-2.0, 0.0, 0.5, 3.0], requires_grad=True)
    gates = straight_through(logits.sigmoid())
    assert_near(gates, torch.tensor([0.0, 0, 1, 1]))
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (gates * weights).sum().backward()
    p = logits.detach().sigmoid()
    assert_near(logits.grad, weights * p * (1 - p))


def test_a_share_counts_free_channels_alone():
    gates = torch.tensor([[1.0, 1, 0, 0, 1], [0, 0, 0, 0, 1]])
    is_free = torch.tensor([True, True, True, True, False])
    shares = exclusive_share(gates, is_free)
    assert_near(shares, torch.tensor([2.01, 0.01]) / 4.02)
    nothing = exclusive_share(gates, torch.zeros(5, dtype=torch.bool))
    assert nothing.tolist() == [0.5, 0.5]


def test_entropy_by_hand():
    shares = torch.tensor([0.5, 0.25, 0.0, 1.0])
    quarter = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    expected = torch.tensor([-math.log(2), quarter, 0, 0])
    assert_near(negative_entropy(shares), expected)


@pytest.mark.parametrize('opened, sign', [(0, -1), (1, -1), (2, 0), (4, 1)])
def test_entropy_draws_to_one_half(opened, sign):
    """With a gradient even where nothing is open, or everything."""
    gates = (torch.arange(4) < opened).float()[None].requires_grad_()
    share = exclusive_share(gates, torch.ones(4, dtype=torch.bool))
    negative_entropy(share).sum().backward()
    assert (gates.grad.sign() == sign).all()
    assert torch.isfinite(gates.grad).all()


def test_a_step_opens_what_its_network_says():
    made = gate([-1.0, 1.0, 2.0])
    maps = torch.randn(2, 3, 4, 5)
    out = made(maps)
    expected = maps.clone()
    expected[:, 0] = 0
    assert_near(out, expected)
    probabilities, gates = made.take_step()
    assert_near(probabilities[0], torch.tensor([-1.0, 1, 2]).sigmoid())
    assert_near(gates, torch.tensor([[0.0, 1, 1]] * 2))
    with pytest.raises(RuntimeError, match='no training step'):
        made.take_step()


def test_the_network_sees_the_means_of_each_image():
    made = TaskGate(2, hidden=2, noise=0.0).train()
    made.hidden.weight.data = torch.eye(2)
    made.hidden.bias.data.zero_()
    made.out.weight.data = torch.eye(2)
    made.out.bias.data = torch.tensor([-1.0, -1.0])
    maps = torch.tensor([[3.0, 0.5], [-4.0, 2.0]])[..., None, None]
    # The first image's means, 3 and 0.5, and the second's, cut at 0.
    made(maps.expand(2, 2, 3, 3))
    probabilities, gates = made.take_step()
    assert_near(probabilities, torch.tensor([[2, -0.5], [-1, 1]]).sigmoid())
    assert_near(gates, torch.eye(2))


def test_draws_are_logistic():
    torch.manual_seed(0)
    made = gate([1.0] * 4, channels=4, noise=1.0)
    made(torch.zeros(4000, 4, 1, 1))
    probabilities, gates = made.take_step()
    share = torch.tensor(1.0).sigmoid()
    assert abs(gates.mean() - share) < 0.02
    draws = torch.logit(probabilities.double()) - 1
    assert abs(draws.var() - math.pi**2 / 3) < 0.15


def test_a_new_gate_is_open_and_a_channel_belongs_to_its_first_task():
    made = gate([0.0] * 4, channels=4, momentum=0.5)
    maps = torch.randn(1, 4, 2, 2)
    assert torch.equal(made.eval()(maps), maps)
    made.count(torch.tensor([1.0, 0.0, 0.0, 0.2]))  # 1, 0.5, 0.5, 0.6
    assert_near(made.share, torch.tensor([1, 0.5, 0.5, 0.6]))
    assert made.owner.tolist() == [1, 0, 0, 1]
    made.task = 2
    assert made.is_kept.tolist() == [True, False, False, True]
    made.count(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    # What the first task has stays its own.
    assert made.owner.tolist() == [1, 2, 0, 1]
    assert made.is_open.tolist() == [True, True, False, True]
    made.count(torch.zeros(4))
    assert made.owner.tolist() == [1, 0, 0, 1]
    made.owner[1] = 2
    made.task = 1  # the sub-model of the first task
    out = made.eval()(maps)
    assert torch.equal(out[:, [0, 3]], maps[:, [0, 3]])
    assert not out[:, 1:3].any()


def test_channels_of_earlier_tasks_stay_open():
    made = gate([-5.0, -5.0, 5.0], task=2)
    made.owner.copy_(torch.tensor([1, 0, 0]))
    maps = torch.randn(2, 3, 2, 2, requires_grad=True)
    out = made(maps)
    assert_near(out[:, [0, 2]], maps[:, [0, 2]])
    assert not out[:, 1].any()
    out.sum().backward()
    made.take_step()
    # The task has no say in them.
    assert made.out.bias.grad[0] == 0 and made.out.bias.grad[2] != 0


def test_a_checkpoint_has_its_channels():
    made = gate([0.0] * 3)
    made.count(torch.zeros(3))
    made.owner[0] = 0
    other = TaskGate(3, task=2)
    other.load_state_dict(made.state_dict())
    assert other.owner.tolist() == [0, 1, 1]
    assert torch.equal(other.share, made.share)
