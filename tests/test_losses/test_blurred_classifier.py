"""DFDD's binary classifier against scikit-learn's log loss."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import log_loss

from batches import contrast_batch
from mmood.losses import BlurredClassifierLoss


def sides(known, outlier):
    return (torch.randn(n, 6, requires_grad=True) for n in (known, outlier))


def call(loss, known, outlier):
    return loss(contrast_batch(known, outlier))['loss_uncertainty']


@pytest.mark.parametrize(('n', 'm'), [(5, 3), (1, 1), (4, 9)])
def test_matches_sklearn(n, m):
    loss = BlurredClassifierLoss(6, loss_weight=0.5)
    known, outlier = sides(n, m)
    both = torch.cat([known, outlier]).detach().numpy().astype(float)
    weight, bias = (
        p.detach().numpy().astype(float) for p in loss.classifier.parameters()
    )
    p_known = expit(both @ weight[0] + bias[0])
    truth = np.r_[np.ones(n), np.zeros(m)]
    expected = 0.5 * log_loss(truth, p_known, labels=[0, 1])
    assert call(loss, known, outlier).item() == pytest.approx(
        expected, rel=1e-5
    )
    np.testing.assert_allclose(
        loss.log_odds(torch.cat([known, outlier])).detach(),
        -(both @ weight[0] + bias[0]),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(('n', 'm'), [(0, 0), (0, 4), (4, 0)])
def test_an_empty_side_adds_nothing_and_has_gradients(n, m):
    loss = BlurredClassifierLoss(6)
    known, outlier = sides(n, m)
    value = call(loss, known, outlier)
    odds = loss.log_odds(torch.cat([known, outlier])).detach().numpy()
    sign = np.r_[np.ones(n), -np.ones(m)]
    expected = 0.1 * np.log1p(np.exp(sign * odds)).mean() if n + m else 0
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    gradient = loss.classifier.weight.grad
    assert torch.isfinite(gradient).all() and gradient.any() == (n + m > 0)
