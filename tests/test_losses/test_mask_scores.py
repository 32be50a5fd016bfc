"""RbA's and Mask2Anomaly's losses against numpy and numbers by hand."""

import math

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.losses import (
    IGNORE,
    OUTLIER,
    Batch,
    Mask2AnomalyLoss,
    RbALoss,
)


def call(loss, sums, labels):
    seen = Batch(
        logits=sums, labels=labels, num_classes=sums.shape[1], kind='mask'
    )
    (value,) = loss(seen).values()
    return value


def random_case():
    torch.manual_seed(0)
    labels = torch.randint(-3, 3, (2, 4, 6))
    labels[labels == -1] = IGNORE
    sums = 1.5 * torch.rand(2, 3, 4, 6)
    known, outlier = (labels >= 0).numpy(), (labels == OUTLIER).numpy()
    return sums, labels, known, outlier


def test_rba_by_hand():
    """Known: tanh(1) and nothing; outlier: tanh(0.5); one is ignored."""
    sums = torch.tensor([[[[1.0, 0.0, 0.5, 3.0]], [[0.0] * 4]]])
    labels = torch.tensor([[[0, 1, OUTLIER, IGNORE]]])
    known = ((1 - math.tanh(1)) ** 2 + 1) / 2
    outlier = (math.tanh(0.5) - 0.1) ** 2
    assert_near(call(RbALoss(), sums, labels), (known + outlier) / 2)


def test_rba_against_numpy():
    sums, labels, known, outlier = random_case()
    score = -np.tanh(sums.double().numpy()).sum(1)
    above = np.maximum(score[known] + 1.5, 0) ** 2
    below = np.maximum(-0.4 - score[outlier], 0) ** 2
    assert above.any() and below.any()
    expected = 3 / 2 * (above.mean() + below.mean())
    loss = RbALoss(-1.5, -0.4, loss_weight=3)
    assert_near(call(loss, sums, labels).item(), float(expected))


@pytest.mark.parametrize('shift', [0.0, 1.0])
def test_mask2anomaly_against_numpy(shift):
    sums, labels, known, outlier = random_case()
    score = shift - sums.double().numpy().max(1)
    below = np.maximum(0.75 - score[outlier], 0) ** 2
    expected = 2 / 2 * ((score[known] ** 2).mean() + below.mean())
    loss = Mask2AnomalyLoss(0.75, loss_weight=2, shift=shift)
    assert_near(call(loss, sums, labels).item(), float(expected))


def test_mask2anomaly_of_what_is_explained():
    """A known pixel of a sure mask costs nothing, an outlier of one most."""
    labels = torch.tensor([[[0, OUTLIER]]])
    right = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    assert call(Mask2AnomalyLoss(), right, labels) == 0
    assert call(Mask2AnomalyLoss(), right.flip(3), labels) == 1
    # As the public code has it both should be 0, known pixels too.
    assert call(Mask2AnomalyLoss(shift=0.0), right, labels) == 1


@pytest.mark.parametrize('loss', [RbALoss(), Mask2AnomalyLoss()])
def test_outliers_lose_their_masks_and_known_pixels_gain(loss):
    sums = torch.full((1, 2, 1, 2), 0.4, requires_grad=True)
    call(loss, sums, torch.tensor([[[0, OUTLIER]]])).backward()
    known, outlier = sums.grad.sum(1)[0, 0]
    assert known < 0 < outlier
    assert loss.kinds == ('mask',)


def test_what_is_refused():
    message = 'known_threshold=0.0 must be below outlier_threshold=-0.1'
    with pytest.raises(ValueError, match=message):
        RbALoss(known_threshold=0.0)
    with pytest.raises(ValueError, match='margin must be positive, got 0'):
        Mask2AnomalyLoss(margin=0)
