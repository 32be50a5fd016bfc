"""Fits of scores. Shapes: N samples, K classes, C channels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmood.scores import FittedScore, LinearClassifier, Samples

C, K = 7, 4


def linear_samples(
    count: int,
    seed: int = 0,
    channels: int = C,
    classes: int = K,
    weights: int = 7,
) -> tuple[Samples, Tensor]:
    """Of a linear classifier that is often right, and their labels (N,).

    The samples follow from the seed, the classifier from ``weights``.
    """
    generator = torch.Generator().manual_seed(weights)
    weight = torch.randn(classes, channels, generator=generator)
    bias = torch.randn(classes, generator=generator)
    classifier = LinearClassifier(weight, bias)
    generator.manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    noise = torch.randn(count, channels, generator=generator)
    spread = torch.linspace(0.5, 2, channels)
    features = 1.5 * noise * spread + 0.5 * weight[labels]
    logits = classifier(features)
    return Samples(logits, features, classifier=classifier), labels


def fit(
    score: FittedScore,
    samples: Samples,
    labels: Tensor | None = None,
    step: int = 1000,
) -> FittedScore:
    """The score, fitted in batches; the labels are the predicted classes."""
    if labels is None:
        labels = samples.logits.argmax(1)
    score.reset()
    for keys in torch.arange(len(samples)).split(step):
        score.update(samples[keys], labels[keys], keys)
    score.finish()
    return score


def as_maps(samples: Samples, height: int = 2) -> Samples:
    """The same samples as maps (height, ., N / height / 5, 5)."""

    def maps(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        return x.reshape(height, -1, 5, x.shape[1]).permute(0, 3, 1, 2)

    return replace(
        samples, logits=maps(samples.logits), features=maps(samples.features)
    )
