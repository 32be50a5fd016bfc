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
HALVES = (torch.float16, torch.bfloat16)


def compared(loss: Callable, place: Place, record: Callable) -> None:
    def case(place: Place) -> list[Tensor]:
        shapes = list(enumerate(SHAPES[loss]))
        own = [place.randn(*s, seed=n).requires_grad_() for n, s in shapes]
        its = [place.randn(*s, seed=n + 5) for n, s in shapes]
        return with_gradient(loss(*own, *its), *own)

    compare(case, place, record)


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize('loss', SHAPES, ids=lambda loss: loss.__name__)
def test_other_precisions_agree(loss, dtype, record_property):
    compared(loss, Place('cpu', dtype), record_property)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize('loss', SHAPES, ids=lambda loss: loss.__name__)
def test_a_gpu_computes_the_same(loss, dtype, record_property):
    compared(loss, Place('cuda', dtype), record_property)
