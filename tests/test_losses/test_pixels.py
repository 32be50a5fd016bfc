"""Losses on pixels against numpy; what their sides are."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers import assert_near
from mmood.losses import (
    IGNORE,
    OUTLIER,
    Batch,
    EnergyOODLoss,
    OODLoss,
    PixelLoss,
    build_losses,
    mean_of_sides,
    squared_hinge,
)


class First(PixelLoss):
    """The first logit is the score."""

    def score(self, logits, kind):
        assert logits.dtype == torch.float32
        return logits[:, 0]


def batch(logits, labels, **more):
    return Batch(
        logits=logits,
        labels=labels,
        num_classes=logits.shape[1],
        **more,
    )


def test_sides_are_means_of_their_own():
    """Two known pixels, one outlier, one ignored."""
    labels = torch.tensor([[[0, 3, OUTLIER, IGNORE]]])
    known = torch.tensor([[[1.0, 3.0, 50.0, 50.0]]])
    outlier = torch.tensor([[[70.0, 70.0, 5.0, 70.0]]])
    assert mean_of_sides(known, outlier, labels) == 2 + 5


@pytest.mark.parametrize(
    ('scores', 'expected'),
    [
        # known: (0.5 + 1)^2 and 0; outlier: (-0.1 - -0.6)^2
        ([0.5, -2.0, -0.6, 9.0], 2.25 / 2 + 0.25),
        ([-1.0, -1.0, -0.1, 9.0], 0.0),
        ([0.0, 0.0, 1.0, -9.0], 1.0),
    ],
)
def test_squared_hinge_by_hand(scores, expected):
    labels = torch.tensor([[[0, 3, OUTLIER, IGNORE]]])
    found = squared_hinge(torch.tensor([[scores]]), labels, -1.0, -0.1)
    assert_near(found, expected)


def bilinear(row, length):
    """Values between those of a row, its ends on the new ends, numpy."""
    return np.interp(
        np.linspace(0, len(row) - 1, length), np.arange(len(row)), row
    )


def test_scores_are_resized_to_the_labels():
    logits = torch.tensor([[[[0.0, 2.0, 1.0]]]], requires_grad=True)
    labels = torch.zeros(1, 1, 5).long()
    scores = First().scores(batch(logits, labels))
    assert_near(scores[0, 0].double(), bilinear([0.0, 2.0, 1.0], 5))
    scores.sum().backward()
    assert_near(logits.grad.sum(), 5.0)


def test_scores_are_of_known_classes_in_float32():
    logits = torch.randn(2, 4, 3, 5, requires_grad=True)
    labels = torch.zeros(2, 3, 5).long()
    seen = Batch(logits=logits.bfloat16(), labels=labels, num_classes=3)
    with torch.autocast('cpu', torch.bfloat16):
        scores = First().scores(seen)
    assert scores.dtype == torch.float32
    assert_near(scores, logits[:, 0].bfloat16().float())


@pytest.mark.parametrize('kind', [0, OUTLIER, IGNORE])
def test_a_side_without_a_pixel_is_zero_with_a_graph(kind):
    scores = torch.randn(1, 2, 3, requires_grad=True)
    labels = torch.full((1, 2, 3), kind)
    loss = squared_hinge(scores, labels, -100.0, 100.0)
    loss.backward()
    assert loss.isfinite() and scores.grad.isfinite().all()
    assert (loss == 0) == (kind == IGNORE) == (not scores.grad.any())
    assert kind == IGNORE or (scores.grad * (1 if kind == 0 else -1) > 0).all()


def test_losses_on_pixels_and_on_rows_are_listed_apart():
    with pytest.raises(ValueError, match='EnergyHingeLoss is a loss on pix'):
        build_losses([dict(type='mmood.EnergyHingeLoss')])
    with pytest.raises(ValueError, match='EnergyOODLoss is a loss on rows'):
        build_losses([dict(type='mmood.EnergyOODLoss')], of_pixels=True)
    assert not OODLoss.of_pixels and not EnergyOODLoss.of_pixels
    found = build_losses([dict(type='mmood.RbALoss')], of_pixels=True)
    assert isinstance(found, nn.ModuleDict) and found['RbALoss'].of_pixels
