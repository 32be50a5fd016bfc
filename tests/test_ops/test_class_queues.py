"""ClassQueues against collections.deque, and over ranks."""

from collections import deque

import numpy as np
import pytest
import torch

from mmood.ops import ClassQueues, by_class
from waits import Waits


def batch(n, classes=3, channels=2):
    return torch.randn(n, channels), torch.randint(classes, (n,))


def contents(queues):
    """What each class holds, oldest first, as lists of tuples."""
    result = []
    for memory, seen in zip(queues.memory, queues.seen.tolist()):
        size = len(memory)
        numbers = range(max(seen - size, 0), seen)
        result.append([tuple(memory[i % size].tolist()) for i in numbers])
    return result


def reference(batches, classes, size):
    queues = [deque(maxlen=size) for _ in range(classes)]
    for features, labels in batches:
        for feature, label in zip(features.tolist(), labels.tolist()):
            queues[label].append(tuple(feature))
    return [list(queue) for queue in queues]


def filled(batches, classes, size, **options):
    queues = ClassQueues(classes, 2, size, **options)
    for features, labels in batches:
        queues.add(features, labels)
    return queues


@pytest.mark.parametrize('grows', [False, True])
@pytest.mark.parametrize('classes', [1, 3])
@pytest.mark.parametrize('size', [1, 4, 1000])
def test_holds_what_a_deque_holds(classes, size, grows):
    """Also more of a class in a batch than fit, and none at all."""
    batches = [batch(n, classes) for n in (0, 3, 1, 40, 7, 0, 13)]
    queues = filled(batches, classes, size, grows=grows)
    expected = reference(batches, classes, size)
    assert contents(queues) == expected
    assert queues.counts.tolist() == [len(part) for part in expected]
    assert queues.is_full.tolist() == [len(p) == size for p in expected]


@pytest.mark.parametrize('n', [0, 2, 9, 40])
def test_means_and_samples_are_of_what_is_held(n):
    """Also after a ring has come round; an empty class's mean is 0."""
    features, labels = batch(n, 2)
    queues = filled([(features, labels)], 3, 4)
    expected = reference([(features, labels)], 3, 4)
    for mean, held in zip(queues.means, expected):
        own = np.mean(held, axis=0) if held else [0, 0]
        np.testing.assert_allclose(mean, own, atol=1e-6)
    found, classes = queues.samples()
    pairs = sorted(zip(classes.tolist(), map(tuple, found.tolist())))
    assert pairs == sorted((c, x) for c, own in enumerate(expected)
                           for x in own)  # fmt: skip


def test_samples_are_a_copy():
    queues = filled([batch(9)], 3, 4)
    found, _ = queues.samples()
    before = found.clone()
    queues.add(*batch(9))
    assert torch.equal(found, before)


def test_append_is_add_without_other_ranks():
    features, labels = batch(9)
    queues = ClassQueues(3, 2, 4)
    queues.append(features, labels)
    assert contents(queues) == contents(filled([(features, labels)], 3, 4))


def test_by_class_numbers_the_samples_of_each():
    order, numbers = by_class(torch.tensor([2, 0, 2, 2, 0]), 4)
    assert order.tolist() == [1, 4, 0, 2, 3]
    assert numbers.tolist() == [0, 1, 0, 1, 2]
    order, numbers = by_class(torch.tensor([], dtype=torch.long), 4)
    assert len(order) == len(numbers) == 0


def test_checking_is_the_only_wait_for_the_device():
    """Said by ``tolist``; also where a batch comes round the ring."""
    batches = [batch(n) for n in (0, 3, 40)]
    with Waits():
        queues = filled(batches, 3, 4)
    assert contents(queues) == reference(batches, 3, 4)


def test_a_class_without_a_sample_is_empty():
    features = torch.randn(5, 2)
    queues = filled([(features, torch.tensor([0, 2, 0, 2, 2]))], 3, 2)
    assert queues.counts.tolist() == [2, 0, 2]
    assert queues.is_full.tolist() == [True, False, True]
    assert queues.memory[1].abs().sum() == 0


def test_the_batches_cut_does_not_matter():
    features, labels = batch(50)
    parts = list(zip(features.split([1, 30, 19]), labels.split([1, 30, 19])))
    whole, cut = (filled(p, 3, 5) for p in ([(features, labels)], parts))
    assert torch.equal(cut.memory, whole.memory)
    assert torch.equal(cut.seen, whole.seen)


def test_a_checkpoint_continues_where_it_was():
    batches = [batch(n) for n in (9, 2, 14, 6)]
    straight = filled(batches, 3, 4)
    first = filled(batches[:2], 3, 4)
    resumed = ClassQueues(3, 2, 4)
    resumed.load_state_dict(first.state_dict())
    for features, labels in batches[2:]:
        resumed.add(features, labels)
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_checkpoint_of_another_size_leaves_them_empty():
    """And not full of the zeros that the buffers begin with."""
    old, new = filled([batch(30)], 3, 4), ClassQueues(3, 2, 6)
    with pytest.raises(RuntimeError, match='size mismatch for memory'):
        new.load_state_dict(old.state_dict())
    assert new.counts.tolist() == [0, 0, 0]
    assert len(new.samples()[0]) == 0 and not new.means.any()


def test_features_are_kept_in_float32_without_gradient():
    features = torch.randn(3, 2, requires_grad=True)
    queues = filled([(features.half(), torch.zeros(3).long())], 1, 3)
    assert queues.memory.dtype == torch.float32
    assert not queues.memory.requires_grad
    assert torch.equal(queues.memory[0], features.detach().half().float())


def test_buffers_stay_where_they_are():
    """DDP and optimizers hold references to them."""
    queues = ClassQueues(3, 2, 4)
    before = dict(queues.named_buffers())
    queues.add(*batch(9))
    assert all(before[k] is v for k, v in queues.named_buffers())
    assert sorted(before) == ['memory', 'seen']


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_refuses_values_that_would_poison_them(value):
    queues = filled([batch(5)], 3, 4)
    before = contents(queues)
    features, labels = batch(6)
    features[2, 1] = features[4, 0] = value
    with pytest.raises(ValueError, match='2 of 6 samples .* nan or inf'):
        queues.add(features, labels)
    assert contents(queues) == before


@pytest.mark.parametrize('label', [-1, 3])
def test_refuses_labels_without_a_queue(label):
    queues = ClassQueues(3, 2, 4)
    labels = torch.tensor([0, label, 1])
    with pytest.raises(ValueError, match=rf'\[0, 3\), got \[{label}\]'):
        queues.add(torch.zeros(3, 2), labels)
    assert queues.seen.sum() == 0


@pytest.mark.parametrize('shape', [(0, 2, 4), (3, 0, 4), (3, 2, 0)])
def test_refuses_queues_of_nothing(shape):
    with pytest.raises(ValueError, match='at least 1'):
        ClassQueues(*shape)


def test_many_samples_are_fast_enough_to_be_vectorised():
    """Golden: the newest 1000 of 100,000, by numpy."""
    labels = torch.arange(100_000) % 2
    features = torch.arange(100_000.0)[:, None].expand(-1, 2)
    queues = filled([(features, labels)], 2, 1000)
    for label in (0, 1):
        expected = np.arange(98_000 + label, 100_000, 2)
        assert np.array_equal(
            np.sort(queues.memory[label, :, 0].numpy()), expected
        )


def test_memory_grows_to_its_size_and_no_further():
    queues, places = ClassQueues(2, 3, 10, grows=True), []
    for n in (0, 1, 2, 3, 9, 4):
        queues.append(torch.randn(n, 3), torch.zeros(n).long())
        places.append(queues.memory.shape[1])
    assert places == [0, 1, 3, 6, 10, 10]


@pytest.mark.parametrize('n', [0, 5, 30])
def test_growing_queues_load_any_filling(n):
    saved = filled([batch(n)], 3, 8, grows=True, dtype=torch.float16)
    other = filled([batch(4)], 3, 8, grows=True, dtype=torch.float16)
    other.load_state_dict(saved.state_dict())
    assert contents(other) == contents(saved)
    more = batch(9)
    for queues in (saved, other):
        queues.append(*more)
    assert contents(other) == contents(saved)
    assert other.memory.dtype == torch.float16


@pytest.mark.parametrize('size', [4, 100])
def test_growing_queues_refuse_a_ring_of_another_size(size):
    """One that has come round, or holds more than there is room for."""
    saved = filled([batch(100, 1)], 1, size, grows=True)
    other = filled([batch(4, 1)], 1, 8, grows=True)
    with pytest.raises(RuntimeError, match='size mismatch for memory'):
        other.load_state_dict(saved.state_dict())
    assert other.counts.tolist() == [0]
    other.append(*batch(3, 1))
    assert other.counts.tolist() == [3]
