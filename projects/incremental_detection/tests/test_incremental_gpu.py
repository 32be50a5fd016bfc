"""Distillation gives on a GPU what it gives on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gpu_helpers import Place, compare, with_gradient
from projects.incremental_detection.incremental_detection.distillation import (
    adaptive_feature_distillation,
    adaptive_rpn_distillation,
    centred_logit_distillation,
    kl_distillation,
    squared_distillation,
)

SHAPES: dict[Callable, list[tuple]] = {
    kl_distillation: [(40, 5)],
    squared_distillation: [(40, 5)],
    centred_logit_distillation: [(40, 5)],
    adaptive_feature_distillation: [(4, 8, 6, 5)],
    adaptive_rpn_distillation: [(40,), (40, 4)],
}
PLACES = [
    Place('cpu', torch.float64),
    Place('cpu', torch.bfloat16),
    pytest.param(Place('cuda'), marks=pytest.mark.gpu),
    pytest.param(Place('cuda', torch.float16), marks=pytest.mark.gpu),
    pytest.param(Place('cuda', torch.bfloat16), marks=pytest.mark.gpu),
]


@pytest.mark.parametrize('place', PLACES, ids=str)
@pytest.mark.parametrize('loss', SHAPES, ids=lambda loss: loss.__name__)
def test_it_gives_the_same_everywhere(loss, place, record_property):
    def case(place: Place) -> list[Tensor]:
        shapes = list(enumerate(SHAPES[loss]))
        own = [place.randn(*s, seed=n).requires_grad_() for n, s in shapes]
        its = [place.randn(*s, seed=n + 5) for n, s in shapes]
        return with_gradient(loss(*own, *its), *own)

    compare(case, place, record_property)
