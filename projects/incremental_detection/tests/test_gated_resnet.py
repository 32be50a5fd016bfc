"""A gated ResNet beside the plain one, and what an optimizer leaves of it."""

import copy

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmengine.config import ConfigDict
from torch import nn

from helpers import assert_near
from mmood.ops import copy_exact
from projects.incremental_detection.incremental_detection import (
    GatedResNet,
    SubModelHook,
)

SMALL = dict(
    depth=18, base_channels=4, num_stages=2, strides=(1, 2),
    dilations=(1, 1), out_indices=(0, 1), zero_init_residual=False,
)  # fmt: skip
NOISELESS = dict(noise=0.0, hidden=4)


def build(task=1, **more) -> GatedResNet:
    torch.manual_seed(0)
    made = GatedResNet(task=task, gate=NOISELESS, **{**SMALL, **more})
    made.init_weights()
    return made


def taught(task=2) -> GatedResNet:
    """Half of the channels are those of the first task."""
    backbone = build(task)
    for gate in backbone.gates.values():
        gate.owner.copy_(torch.arange(len(gate.owner)) % 2)
        # Of the others some are open, some shut.
        with torch.no_grad():
            gate.out.bias.copy_(2.0 * (torch.arange(len(gate.owner)) % 4) - 3)
    return backbone


@pytest.mark.parametrize('depth, gates', [(18, 9), (50, 23)])
def test_new_gates_change_nothing(depth, gates):
    """Neither outputs nor keys; each normalization in a block has one."""
    made, plain = build(depth=depth), ResNet(**{**SMALL, 'depth': depth})
    made.eval()
    plain.eval()
    found = plain.load_state_dict(made.state_dict(), strict=False)
    assert not found.missing_keys
    assert all(key.startswith('gates.') for key in found.unexpected_keys)
    images = torch.randn(2, 3, 32, 32)
    for own, other in zip(made(images), plain(images)):
        assert_near(own, other)
    assert len(made.gates) == gates
    copied = copy.deepcopy(made)
    copied.gates['layer1_0_bn1'].owner.zero_()
    assert not copied(images)[0].equal(made(images)[0])  # it has its own
    assert_near(made(images)[0], plain(images)[0])


def test_frozen_stages_have_no_gates():
    made = build(frozen_stages=1)
    assert all(name.startswith('layer2') for name in made.gates)
    assert all(len(rows) == 8 for _, rows in made.kept())


def test_losses_by_hand():
    backbone = taught()
    backbone.train()
    backbone(torch.randn(3, 3, 32, 32))
    steps = [copy.copy(gate._step) for gate in backbone.gates.values()]
    sparsity, diversity = backbone.gate_losses()
    opened, entropies = [], []
    for probabilities, gates in steps:
        free = torch.arange(probabilities.shape[1]) % 2 == 0
        opened.append(probabilities[:, free].mean(0))
        number = free.sum()
        p = (gates[:, free].sum(1) + 0.01) / (number + 0.02)
        entropies.append((p * p.log() + (1 - p) * (1 - p).log()).mean())
    assert_near(sparsity, torch.cat(opened).mean())
    assert_near(diversity, torch.stack(entropies).mean())
    share = steps[0][1].mean(0)
    assert_near(backbone.gates['layer1_0_bn1'].share, 0.99 + 0.01 * share)


def test_without_a_free_channel_there_is_no_loss():
    backbone = build(task=2)  # the first task has taken all
    backbone.train()
    out = backbone(torch.randn(1, 3, 32, 32))
    sparsity, diversity = backbone.gate_losses()
    assert sparsity == 0 and diversity == 0
    (sparsity + diversity + out[1].sum()).backward()
    assert torch.isfinite(backbone.gates['layer1_0_bn1'].out.bias.grad).all()


class StubRunner:
    """What the hook needs of a runner."""

    def __init__(self, backbone: nn.Module, optimizer) -> None:
        self.model = nn.Module()
        self.model.backbone = backbone
        self.optim_wrapper = ConfigDict(optimizer=optimizer)


def steps_of(backbone, hook=None, number=3):
    """Training steps with momentum and weight decay."""
    sgd = torch.optim.SGD(
        backbone.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1
    )
    runner = StubRunner(backbone, sgd)
    if hook:
        hook.before_train(runner)
    backbone.train()
    for step in range(number):
        torch.manual_seed(step)
        out = backbone(torch.randn(2, 3, 32, 32))
        sgd.zero_grad()
        loss = sum(map(torch.sum, backbone.gate_losses()))
        (loss + sum(part.square().mean() for part in out)).backward()
        sgd.step()
    if hook:
        hook.after_train(runner)
    return backbone


def test_what_earlier_tasks_use_stays_and_all_else_learns():
    backbone = taught()
    before = copy.deepcopy(backbone)
    steps_of(backbone, SubModelHook())
    pairs = list(zip(before.kept(), backbone.kept()))
    # Filters, weights and biases; the stem's have no gate.
    assert len(pairs) == 3 * len(backbone.gates) + 3
    assert all(rows.all() for (_, rows), _ in pairs[:3])
    for (old, rows), (new, _) in pairs:
        assert torch.equal(old[rows], new[rows])
        if (
            old.dim() == 4 and not rows.all()
        ):  # of shut channels by weight decay alone
            changed = (old[~rows] != new[~rows]).flatten(1)
            assert changed.any(1).all()
    images = torch.randn(2, 3, 32, 32)
    for one in (before, backbone):
        one.eval()
        for gate in one.gates.values():
            gate.task = 1
    # The first task's sub-model gives what it gave.
    for own, other in zip(backbone(images), before(images)):
        assert other.abs().max() > 0.1
        assert_near(own, other)


def test_without_the_hook_they_are_lost():
    backbone = taught()
    before = copy.deepcopy(backbone)
    steps_of(backbone)
    for (old, rows), (new, _) in zip(before.kept(), backbone.kept()):
        assert rows.any()
        assert not torch.equal(old[rows], new[rows])


def test_the_hook_lets_go_and_a_first_task_keeps_nothing():
    hook = SubModelHook()
    backbone = build()
    before = copy.deepcopy(backbone)
    steps_of(backbone, hook)
    assert not hasattr(hook, '_kept')
    assert not any(rows.any() for _, rows in backbone.kept())
    assert not torch.equal(before.conv1.weight, backbone.conv1.weight)


def test_averages_copy_owners():
    backbone, average = taught(), build(task=2)
    copy_exact(backbone, average)
    for own, other in zip(backbone.gates.values(), average.gates.values()):
        assert torch.equal(own.owner, other.owner)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(task=0), 'counted from 1, got 0'),
        (dict(task=2, norm_eval=False), 'set norm_eval=True'),
        (dict(with_cp=True), 'set with_cp=False'),
        (dict(frozen_stages=2), 'frozen_stages=2 leaves no convolution'),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_the_hook_needs_gates():
    runner = StubRunner(ResNet(**SMALL), None)
    with pytest.raises(ValueError, match='not a ResNet: take the hook out'):
        SubModelHook().before_train(runner)
