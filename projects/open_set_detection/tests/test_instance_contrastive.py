"""OpenDet's contrastive loss against loops in numpy."""

import math

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.registry import MODELS
from projects.open_set_detection.open_set_detection import (
    InstanceContrastiveLoss,
    supervised_contrastive,
)
from roi_batches import roi_batch


def by_hand(queries, labels, keys, key_labels, temperature):
    """One query, one key at a time."""
    values = []
    for z, label in zip(queries, labels):
        total = sum(math.exp(z @ k / temperature) for k in keys)
        own = [
            -math.log(math.exp(z @ k / temperature) / total)
            for k, other in zip(keys, key_labels)
            if other == label
        ]
        values.append(sum(own) / len(own) if own else 0)
    return values


@pytest.mark.parametrize(('n', 'm'), [(1, 1), (5, 1), (1, 6), (4, 9)])
@pytest.mark.parametrize('temperature', [0.1, 2.0])
def test_matches_the_double_loop(n, m, temperature):
    z, keys = torch.randn(n, 3), torch.randn(m, 3)
    labels, key_labels = torch.arange(n) % 4, torch.arange(m) % 3
    found = supervised_contrastive(z, labels, keys, key_labels, temperature)
    expected = by_hand(
        z.double().numpy(),
        labels.tolist(),
        keys.double().numpy(),
        key_labels.tolist(),
        temperature,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_known_values():
    """On one of two axes with a key on each; then with both keys its own."""
    axes, label = torch.eye(2), torch.tensor([5])
    for key_labels, expected in [
        ([5, 1], math.log(1 + math.exp(-10))),
        ([1, 5], math.log(1 + math.exp(10))),
        ([5, 5], 5 + math.log(1 + math.exp(-10))),
        ([1, 1], 0),
    ]:
        found = supervised_contrastive(
            axes[:1], label, axes, torch.tensor(key_labels)
        )
        assert found.tolist() == pytest.approx([expected], abs=1e-4)


def test_gradient_is_the_numerical_one():
    z = torch.randn(3, 4, dtype=torch.float64).requires_grad_()
    keys, labels = torch.randn(5, 4).double(), torch.tensor([0, 1, 7])
    key_labels = torch.tensor([0, 1, 1, 2, 0])
    assert torch.autograd.gradcheck(
        lambda z: supervised_contrastive(z, labels, keys, key_labels, 0.7), z
    )


@pytest.mark.parametrize(('n', 'm'), [(0, 4), (3, 0), (0, 0)])
def test_no_query_or_no_key(n, m):
    z = torch.randn(n, 3, requires_grad=True)
    found = supervised_contrastive(
        z, torch.zeros(n), torch.randn(m, 3), torch.zeros(m)
    )
    assert found.tolist() == [0] * n
    (grad,) = torch.autograd.grad(found.sum(), z)
    assert grad.tolist() == [[0, 0, 0]] * n


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    z, keys, labels = torch.randn(4, 3), torch.randn(5, 3), torch.arange(5)
    expected = supervised_contrastive(z.to(dtype).float(), labels[:4], keys,
                                      labels)  # fmt: skip
    with torch.autocast('cpu', torch.bfloat16):
        found = supervised_contrastive(z.to(dtype), labels[:4], keys, labels)
    assert_near(found, expected)


@pytest.mark.parametrize('temperature', [0, -1.0, float('nan')])
def test_refuses_a_temperature_that_is_not_positive(temperature):
    x, labels = torch.zeros(1, 2), torch.zeros(1)
    with pytest.raises(ValueError, match=f'temperature .*got {temperature}'):
        supervised_contrastive(x, labels, x, labels, temperature)


OPTIONS = dict(
    num_classes=3,
    in_channels=6,
    channels=4,
    queue_size=5,
    max_enqueued=2,
    loss_weight=0.5,
)


def loss(bias=0.0, **more):
    """With a ``bias`` each hidden channel is on, so that gradients flow."""
    module = InstanceContrastiveLoss(**{**OPTIONS, **more})
    module.encoder[0].bias.data += bias
    return module


def embedded(module, features):
    """The perceptron and the norm, written out."""
    first, _, second = module.encoder
    w, v = (x.weight.detach().double().numpy() for x in (first, second))
    b, c = (x.bias.detach().double().numpy() for x in (first, second))
    z = np.maximum(features.detach().double().numpy() @ w.T + b, 0) @ v.T + c
    return z / np.linalg.norm(z, axis=1, keepdims=True)


class Reference:
    """The loss one RoI, one class and one key at a time."""

    def __init__(self, size=5, most=2):
        self.size, self.most = size, most
        self.queues = [[], [], []]

    def __call__(self, module, batch):
        z = embedded(module, batch.features)
        rois = list(zip(z, batch.labels.tolist(), batch.ious.tolist()))
        keys = [k for queue in self.queues for k in queue]
        labels = [c for c, queue in enumerate(self.queues) for _ in queue]
        queries = [(x, c) for x, c, iou in rois if c >= 0 and iou > 0.5]
        values = by_hand(*zip(*queries), keys, labels, 0.1) if queries else []
        for number, queue in enumerate(self.queues):
            own = [x for x, c, iou in rois if c == number and iou > 0.7]
            if queue:
                mean = np.mean(queue, axis=0)
                own.sort(key=lambda x: cosine(x, mean))
            queue.extend(own[: self.most])
            del queue[: -self.size]
        weight = 0.5 * (1 - batch.progress)
        return weight * sum(values) / max(len(values), 1)


def cosine(x, y):
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def test_matches_loops_step_by_step():
    """Until each queue is full; 3 and 4 are not known, whatever the IoU."""
    module, reference, seen = loss(), Reference(), []
    for step in range(20):
        n = 3 * (step % 5)
        batch = roi_batch(
            torch.randint(5, (n,)),
            ious=torch.rand(n).sqrt(),
            iteration=step,
            max_iters=20,
        )
        found = module(batch)['loss_contrastive'].item()
        seen.append(reference(module, batch))
        assert found == pytest.approx(seen[-1], rel=1e-4, abs=1e-6)
        assert module.queues.counts.tolist() == [
            len(queue) for queue in reference.queues
        ]
        for mean, queue in zip(module.queues.means, reference.queues):
            expected = np.mean(queue, axis=0) if queue else np.zeros(4)
            np.testing.assert_allclose(mean, expected, atol=1e-6)
    assert seen[0] == 0 and sum(value > 0.01 for value in seen) > 5
    assert module.queues.is_full.all()


def test_limits_of_the_iou_are_left_out():
    """As are the background and what is labelled unknown."""
    module = loss(bias=9, enqueue_iou=0.75)
    ious = torch.tensor([0.5, 0.75, 0.8, 0.9, 0.9, 0.9])
    batch = roi_batch([0, 0, 1, 2, 3, 4], ious=ious)
    module(batch)
    assert module.queues.seen.tolist() == [0, 1, 1]
    (grad,) = torch.autograd.grad(
        module(batch)['loss_contrastive'], batch.features
    )
    assert (
        grad.abs().sum(1).bool().tolist()
        == [False] * 2 + [True] * 2 + [False] * 2
    )


@pytest.mark.parametrize(
    ('enqueue', 'least', 'keys', 'queries'),
    [(0.2, 0.8, 2, [False, False, True]), (0.8, 0.2, 1, [False, True, True])],
)
def test_either_limit_may_be_the_higher(enqueue, least, keys, queries):
    module = loss(bias=9, enqueue_iou=enqueue, loss_iou=least)
    ious = torch.tensor([0.1, 0.5, 0.9])
    batch = roi_batch([0, 0, 0], ious=ious)
    module.queues.append(torch.eye(4)[:3], torch.tensor([0, 1, 2]))
    value = module(batch)['loss_contrastive']
    assert module.queues.seen.tolist() == [1 + keys, 1, 1]
    (grad,) = torch.autograd.grad(value, batch.features)
    assert grad.any(1).tolist() == queries


@pytest.mark.parametrize('labels', [[], [4, 4], [3], [-1]])
def test_nothing_to_contrast_has_gradients_for_everything(labels):
    """DDP waits for each parameter's gradient."""
    module = loss()
    module.queues.append(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    batch = roi_batch(labels, ious=torch.ones(len(labels)))
    value = module(batch)['loss_contrastive']
    assert value.item() == 0
    value.backward()
    for tensor in [*module.parameters(), batch.features]:
        assert tensor.grad.abs().sum() == 0
    assert module.queues.seen.tolist() == [2, 1, 1]


def test_a_step_into_the_memory_lets_the_gradient_be():
    """The keys of the loss are not those that backward finds enqueued."""
    module = loss(queue_size=1)
    batch = roi_batch([0, 1], ious=torch.ones(2))
    module(batch)
    before = module.queues.samples()
    value = module(roi_batch([1, 0], ious=torch.ones(2)))['loss_contrastive']
    value.backward()
    assert not torch.equal(before[0], module.queues.samples()[0])
    assert all(p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize('size', [1e-30, 1e4, 1e30])
def test_extreme_features_are_finite(size):
    module = loss()
    for _ in range(2):
        features = size * torch.randn(4, 6)
        batch = roi_batch([0, 1, 0, 1], features=features, ious=torch.ones(4))
        value = module(batch)['loss_contrastive']
        value.backward()
        assert torch.isfinite(value)
        for tensor in [*module.parameters(), batch.features]:
            assert torch.isfinite(tensor.grad).all()


def test_autocast_changes_nothing():
    modules = loss(), loss()
    modules[1].load_state_dict(modules[0].state_dict())
    values = []
    for _ in range(2):
        batch = roi_batch([0, 1, 0, 1], ious=torch.ones(4))
        plain = modules[0](batch)['loss_contrastive']
        with torch.autocast('cpu', torch.bfloat16):
            found = modules[1](batch)['loss_contrastive']
        assert_near(found, plain)
        values.append(plain.item())
    assert values[1] > 0
    memories = (module.queues.memory for module in modules)
    assert_near(*memories)


def test_a_resumed_run_equals_an_uninterrupted_one():
    torch.manual_seed(1)
    steps = [roi_batch(torch.randint(3, (6,))) for _ in range(4)]
    straight, resumed = loss(), loss()
    values = [straight(step)['loss_contrastive'].item() for step in steps[:2]]
    resumed.load_state_dict(straight.state_dict())
    for step in steps[2:]:
        expected = straight(step)['loss_contrastive']
        assert_near(resumed(step)['loss_contrastive'], expected)
        values.append(expected.item())
    assert values[-1] > 0


def test_refuses_what_would_poison_the_memory():
    module, features = loss(), torch.randn(2, 6)
    features[1, 2] = float('nan')
    with pytest.raises(ValueError, match='1 of 2 samples .* nan or infinite'):
        module(roi_batch([0, 1], features=features, ious=torch.ones(2)))


def test_refuses_to_enqueue_nothing():
    with pytest.raises(ValueError, match='max_enqueued .*got 0'):
        loss(max_enqueued=0)


def test_registered_with_the_paper_s_numbers():
    module = MODELS.build(
        dict(type='mmood.InstanceContrastiveLoss', num_classes=20)
    )
    assert module.queues.memory.shape == (20, 256, 128)
    shapes = [tuple(p.shape) for p in module.encoder.parameters()]
    assert shapes == [(1024, 1024), (1024,), (128, 1024), (128,)]
    assert (module.max_enqueued, module.temperature) == (16, 0.1)
    assert (module.enqueue_iou, module.loss_iou) == (0.7, 0.5)
    assert module.loss_weight == 0.1
