"""The energy hinge against numpy and numbers by hand."""

import numpy as np
import pytest
import scipy.special
import torch

from helpers import assert_near
from mmood.losses import IGNORE, OUTLIER, Batch, EnergyHingeLoss


def call(loss, logits, labels, kind='softmax'):
    seen = Batch(
        logits=logits, labels=labels, num_classes=logits.shape[1], kind=kind
    )
    found = loss(seen)
    assert list(found) == ['loss_energy_hinge']
    return found['loss_energy_hinge']


def test_of_one_class_by_hand():
    """Then the energy is minus the logit: 20 and 30, 3 and 10 of outliers."""
    logits = torch.tensor([[[[20.0, 30.0, 3.0, 10.0, 0.0]]]])
    labels = torch.tensor([[[0, 0, OUTLIER, OUTLIER, IGNORE]]])
    # -20 is 5 above m_in; -10 is 3 below m_out.
    expected = 0.1 * ((25 + 0) / 2 + (0 + 9) / 2)
    assert_near(call(EnergyHingeLoss(), logits, labels), expected)


@pytest.mark.parametrize('kind', ['softmax', 'sigmoid'])
def test_against_numpy(kind):
    torch.manual_seed(0)
    logits = 9 * torch.randn(2, 5, 4, 6)
    labels = torch.randint(-3, 5, (2, 4, 6))
    labels[labels == -1] = IGNORE
    x = logits.double().numpy()
    if kind == 'softmax':
        energy = -scipy.special.logsumexp(x, axis=1)
    else:
        energy = -np.log1p(np.exp(x)).sum(1)
    is_known, is_outlier = labels.numpy() >= 0, labels.numpy() == OUTLIER
    above = np.maximum(energy + 8, 0)[is_known] ** 2
    below = np.maximum(-4 - energy, 0)[is_outlier] ** 2
    expected = 0.5 * (above.mean() + below.mean())
    loss = EnergyHingeLoss(m_in=-8, m_out=-4, loss_weight=0.5)
    assert above.any() and below.any()
    found = call(loss, logits, labels, kind).item()
    assert_near(found, float(expected), 1e-4, 1e-4)


def test_it_moves_energies_apart():
    logits = torch.zeros(1, 3, 1, 2, requires_grad=True)
    labels = torch.tensor([[[0, OUTLIER]]])
    optimizer = torch.optim.SGD([logits], 0.5)
    loss = EnergyHingeLoss(m_in=-4, m_out=-1, loss_weight=1)
    for _ in range(200):
        optimizer.zero_grad()
        call(loss, logits, labels).backward()
        optimizer.step()
    known, outlier = -logits.detach().logsumexp(1)[0, 0]
    assert known < -3.9 and outlier > -1.1


def test_what_is_refused():
    with pytest.raises(ValueError, match='m_in=-5 must be below m_out=-5'):
        EnergyHingeLoss(m_in=-5, m_out=-5)
    assert EnergyHingeLoss.kinds == ('softmax', 'sigmoid')
