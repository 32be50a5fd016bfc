"""What the backbone looks at, and the boxes in which it does.

Shapes: images of (H, W), n boxes.
"""

from __future__ import annotations

import pytest
import torch
from mmengine.logging import MessageHub

from mmood.det.models.attention import (
    AttentionPseudoUnknown,
    attention_of,
    mean_in_boxes,
)

# 4 rows of 6 pixels: 0 ... 5, 6 ... 11, 12 ... 17, 18 ... 23.
MAP = torch.arange(24.0).view(4, 6)
BOXES = torch.tensor(
    [
        [0.0, 0.0, 6.0, 4.0],  # all: 11.5
        [1.0, 1.0, 3.0, 3.0],  # 7, 8, 13, 14: 10.5
        [4.9, 2.9, 6.0, 3.0],  # cut to the pixels (4, 2), (5, 2): 16.5
        [-3.0, -2.0, 2.0, 1.0],  # cut to the image, 0 and 1: 0.5
        [5.0, 3.0, 9.0, 9.0],  # the last pixel: 23
        [2.0, 2.0, 2.9, 2.9],  # none
        [3.0, 3.0, 1.0, 4.0],  # none
        [7.0, 1.0, 9.0, 3.0],  # none, outside
    ]
)
NONE = -torch.inf
MEANS = [11.5, 10.5, 16.5, 0.5, 23.0, NONE, NONE, NONE]


def test_means_in_boxes():
    assert mean_in_boxes(MAP, BOXES).tolist() == MEANS
    assert mean_in_boxes(MAP, BOXES[:0]).shape == (0,)


def test_means_are_those_of_slices():
    attention = torch.rand(37, 53) + 1e3
    corner = torch.rand(50, 2) * 30
    boxes = torch.cat([corner, corner + 1 + torch.rand(50, 2) * 30], 1)
    expected = [
        attention[y : int(b), x : int(r)].double().mean()
        for x, y, r, b in boxes.long().tolist()
    ]
    found = mean_in_boxes(attention, boxes)
    torch.testing.assert_close(found, torch.stack(expected).float())


def test_attention_is_the_mean_over_channels_between_the_pixels():
    """Halfway between two of three columns lies half of their step."""
    channels = torch.tensor([[[[0.0, 2, 6]]], [[[2.0, 4, 8]]]])  # (2, 1, 1, 3)
    features = channels.transpose(0, 1)  # one image, two channels
    (found,) = attention_of(features, (2, 6))
    row = torch.tensor([1.0, 1.5, 2.5, 4.0, 6.0, 7.0])
    torch.testing.assert_close(found, row.expand(2, 6))
    half = attention_of(features.to(torch.bfloat16), (2, 6))
    assert half.dtype == torch.float32
    assert not attention_of(
        features.clone().requires_grad_(), (1, 3)
    ).requires_grad


@pytest.mark.parametrize(
    ('number', 'expected'),
    [(0, []), (1, [4]), (2, [2, 4]), (4, [0, 2, 3, 4]), (9, [0, 2, 3, 4])],
)
def test_the_free_boxes_with_the_largest_means_are_unknown(number, expected):
    """The box of 10.5 is that of an object; those without a pixel never."""
    is_free = torch.ones(8, dtype=torch.bool)
    is_free[1] = False
    pseudo = AttentionPseudoUnknown(number)
    chosen = pseudo(MAP, BOXES, is_free)
    assert chosen.nonzero()[:, 0].tolist() == expected
    assert pseudo.activity.count == len(expected)


def test_nothing_is_left_to_choose():
    pseudo = AttentionPseudoUnknown()
    none = torch.zeros(8, dtype=torch.bool)
    assert not pseudo(MAP, BOXES, none).any()
    assert pseudo(MAP, BOXES[:0], none[:0]).shape == (0,)


def test_it_starts_with_an_epoch():
    hub = MessageHub.get_current_instance()
    pseudo = AttentionPseudoUnknown(start_epoch=9)
    assert not pseudo.is_active  # outside of a training
    for epoch, expected in ((0, False), (8, False), (9, True), (10, True)):
        hub.update_info('epoch', epoch)
        assert pseudo.is_active == expected
    hub.update_info('epoch', 0)
    assert AttentionPseudoUnknown().is_active


@pytest.mark.parametrize('name', ['num_pseudo', 'start_epoch'])
def test_numbers_below_0(name):
    with pytest.raises(ValueError, match=f'{name} must be at least 0, got -1'):
        AttentionPseudoUnknown(**{name: -1})
