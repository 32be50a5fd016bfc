"""ClassMeans against numpy. Shapes: N samples, C channels, K classes."""

import numpy as np
import torch

from mmood.scores.class_means import ClassMeans

C, K = 5, 3


def test_means_of_batches_are_those_of_all():
    x, labels = torch.randn(40, C) + 100, torch.randint(K, (40,))
    means = ClassMeans(torch.zeros(K, C, dtype=torch.float64))
    for part in zip(x.split(7), labels.split(7)):
        means.add(*part)
    count, found = means.merge()
    assert count.tolist() == labels.bincount(minlength=K).tolist()
    for c in range(K):
        expected = x.double().numpy()[labels == c].mean(0)
        np.testing.assert_allclose(found[c], expected, rtol=1e-12)


def test_without_a_sample():
    means = ClassMeans(torch.zeros(K, C, dtype=torch.float64))
    means.add(torch.zeros(0, C), torch.zeros(0).long())
    means.add(torch.ones(2, C), torch.tensor([2, 2]))
    count, found = means.merge()
    assert count.tolist() == [0, 0, 2]
    assert found.tolist() == [[0.0] * C, [0.0] * C, [1.0] * C]
