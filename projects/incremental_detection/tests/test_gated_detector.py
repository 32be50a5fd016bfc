"""ROSETTA's detector: its losses beside the plain one's."""

import pytest
import torch

from helpers import assert_near
from projects.incremental_detection.tests.tiny_detector import (
    AGNOSTIC,
    OLD,
    K,
    batch,
    build_detector,
    losses_of,
)

PLAIN = {
    **AGNOSTIC,
    'roi_head.type': 'mmood.OODRoIHead',
    'backbone.zero_init_residual': False,
}


def gated(num_old=0, **options):
    task = 2 if num_old else 1
    return build_detector(
        K,
        type='mmood.GatedFasterRCNN',
        num_old=num_old,
        **{
            **PLAIN,
            'backbone.type': 'mmood.GatedResNet',
            'backbone.task': task,
            'backbone.gate': dict(noise=0.0),
            'roi_head.losses': [
                dict(type='mmood.ClassPrototypes', num_old=num_old)
            ],
            **options,
        },
    )


def free(detector):
    """Have half of the channels be free."""
    for gate in detector.backbone.gates.values():
        gate.owner.copy_(torch.arange(len(gate.owner)) % 2)


def test_a_first_step_is_the_plain_one_and_sparse():
    detector, plain = gated(), build_detector(K, **PLAIN)
    for gate in detector.backbone.gates.values():
        torch.nn.init.zeros_(gate.out.weight)  # open, by their bias
    plain.load_state_dict(detector.state_dict(), strict=False)
    data = batch()
    losses, _ = losses_of(detector, data)
    expected, _ = losses_of(plain, data)
    assert set(losses) - set(expected) == {'loss_sparsity'}
    for name in ('loss_cls', 'loss_bbox'):
        assert_near(losses[name], expected[name])
    # All probabilities are that of the bias, 2.
    assert_near(losses['loss_sparsity'], 0.1 * torch.tensor(2.0).sigmoid())
    with_any = detector.roi_head.losses['ClassPrototypes'].queues.counts > 0
    labels = {int(n) for s in data[1] for n in s.gt_instances.labels}
    assert with_any.nonzero()[:, 0].tolist() == sorted(labels)


@pytest.mark.parametrize('gap', [0.0, 0.25])
def test_diversity_is_weighed_by_the_gap(gap, monkeypatch):
    detector = gated(OLD, diversity=2.0, sparsity=0.5)
    free(detector)
    keeper = detector.roi_head.losses['ClassPrototypes']
    monkeypatch.setattr(type(keeper), 'gap', lambda self: torch.tensor(gap))
    seen, backbone = [], detector.backbone
    measure = backbone.gate_losses
    monkeypatch.setattr(
        type(backbone),
        'gate_losses',
        lambda self: seen.append(measure()) or seen[-1],
    )
    losses, _ = losses_of(detector, batch())
    ((sparsity, diversity),) = seen
    assert diversity < 0 < sparsity
    assert_near(losses['loss_sparsity'], 0.5 * sparsity)
    assert_near(losses['loss_diversity'], 2.0 * gap * diversity)


def test_a_step_without_new_classes_or_prototypes_is_trained():
    """All K are old, and none of them has left a prototype."""
    detector = gated(K)
    free(detector)
    losses, _ = losses_of(detector, batch())
    total, values = detector.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total) and values['loss_diversity'] == 0
    counts = detector.roi_head.losses['ClassPrototypes'].queues.counts
    assert not counts.any()


def test_every_gate_learns():
    detector = gated(OLD)
    free(detector)
    losses, _ = losses_of(detector, batch())
    detector.parse_losses(losses)[0].backward()
    missing = [n for n, p in detector.named_parameters() if p.grad is None]
    assert missing == []
    for gate in detector.backbone.gates.values():
        assert gate.out.bias.grad[::2].abs().min() > 0
        assert not gate.out.bias.grad[1::2].any()


@pytest.mark.parametrize(
    'options, message',
    [
        ({'sparsity': -1.0}, 'must not be negative, got -1.0 and 0.1'),
        ({'roi_head.losses': []}, 'mmood.ClassPrototypes'),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gated(**options)


def test_a_backbone_without_gates_is_refused():
    with pytest.raises(ValueError, match='ResNet, which has no gates'):
        build_detector(K, type='mmood.GatedFasterRCNN', **PLAIN)
