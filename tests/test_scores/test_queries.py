"""Queries, their masks at the image's size, and what samples make of them.

Shapes: B images, N queries, K + 1 classes, masks h x w, images H x W.
"""

import sys

import pytest
import torch
import torch.nn.functional as F

from helpers import assert_near
from mmood.scores import MaskQueries, Samples


def queries(images=2, count=5, classes=3, cells=(3, 4), size=(6, 9)):
    torch.manual_seed(1)
    return MaskQueries(
        torch.randn(images, count, classes + 1),
        3 * torch.randn(images, count, *cells),
        size,
    )


def test_no_query_has_no_mask():
    none = queries(count=0)
    assert not list(none.masks(0, torch.arange(0)))
    assert not list(queries().masks(1, torch.tensor([]).long()))
    assert none.probabilities.shape == (2, 0, 4)


@pytest.mark.parametrize('pixels', [1, 54, 120, 10**6])
def test_masks_are_resized_logits_in_parts(monkeypatch, pixels):
    """At least one at a time, at most so many pixels of them."""
    module = sys.modules['mmood.scores.queries']
    monkeypatch.setitem(module._CHUNK, 'cpu', pixels)
    own, wanted = queries(), torch.tensor([4, 0, 2])
    expected = F.interpolate(
        own.mask_logits, (6, 9), mode='bilinear', align_corners=False
    ).sigmoid()
    numbers, parts = zip(*own.masks(1, wanted))
    assert torch.cat(numbers).tolist() == [4, 0, 2]
    assert_near(torch.cat(parts), expected[1, wanted])
    step = max(1, pixels // 54)
    assert [len(part) for part in parts][0] == min(3, step)


def test_halves_are_raised():
    own = queries()
    own.mask_logits = own.mask_logits.bfloat16()
    own.class_logits = own.class_logits.half()
    (_, masks), *_ = own.masks(0, torch.arange(5))
    assert masks.dtype == own.probabilities.dtype == torch.float32
    assert_near(own.probabilities.sum(-1), torch.ones(2, 5))


def test_some_of_the_samples_have_their_own_queries():
    own = queries(images=3)
    samples = Samples(torch.rand(3, 3, 6, 9), kind='mask', queries=own)
    assert len(samples) == len(own) == 3 and samples.has('queries')
    for index in (slice(1, 3), torch.tensor([True, False, True])):
        part = samples[index]
        assert len(part) == 2
        assert torch.equal(part.queries.mask_logits, own.mask_logits[index])
        assert torch.equal(part.queries.class_logits, own.class_logits[index])
        assert part.queries.size == (6, 9)
    assert len(Samples(queries=own)) == 3
