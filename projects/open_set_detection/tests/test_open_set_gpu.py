"""The losses give on a GPU what they give on the CPU.

Shapes: N RoIs, C features, K known classes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gpu_helpers import Place, compare, with_gradient
from projects.open_set_detection.open_set_detection import (
    InstanceContrastiveLoss,
    PlaceholderLoss,
    UnknownProbabilityLoss,
)
from roi_batches import (
    LEAVES,
    roi_batch,
)

N, K, C = 40, 5, 8
LOSSES: dict[str, Callable] = dict(
    contrastive=lambda: InstanceContrastiveLoss(K, C, channels=4),
    unknown=UnknownProbabilityLoss,
    placeholder=PlaceholderLoss,
)


def losses_of(build: Callable, place: Place) -> list[Tensor]:
    """Twice: queues are filled by then."""
    loss, head = place(build()), place(nn.Linear(8, K + 2))
    for _ in range(2):
        labels = place.labels(N, K + 1)
        labels = torch.where(labels == K, K + 1, labels)  # none unknown
        batch = roi_batch(
            labels,
            K,
            logits=place.randn(N, K + 2),
            features=place.randn(N, C, seed=1),
            ious=(labels < K) * place.labels(N, 10) / 10,
            inputs=place.randn(N, 2, 2, 2, seed=2),
            classify=head,
        )
        leaves = [getattr(batch, name) for name in LEAVES]
        found = with_gradient(loss(batch), *leaves)
    return found


# Embeddings are float32.
@pytest.mark.parametrize('name', ['unknown', 'placeholder'])
def test_float64_agrees(name, record_property):
    place = Place('cpu', torch.float64)
    compare(lambda p: losses_of(LOSSES[name], p), place, record_property)


@pytest.mark.gpu
@pytest.mark.parametrize('name', LOSSES)
def test_a_gpu_computes_the_same(name, record_property):
    case = LOSSES[name]
    compare(lambda p: losses_of(case, p), Place('cuda'), record_property)
