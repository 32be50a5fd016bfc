"""Scores, losses and parts give on a GPU what they give on the CPU.

Also, as a check of this check, in float64 on the CPU what they give in
float32, and in half precision, under autocast, nearly the same.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

import mmood.diffusion
import mmood.losses
import mmood.necks
import mmood.outliers
import mmood.scores  # noqa: F401
from gpu_cases import CASES, PARTS
from gpu_helpers import TOLERANCES, Place, computed, largest_excess
from mmood.registry import MODELS

SHARED = ('diffusion', 'scores', 'losses', 'outliers', 'necks')
# float16 has no room for squares of features, and where a sign or an order
# decides, rounding may change it: they run in full precision in a detector.
EXACT = (
    'ODIN',
    'GeneralizedODIN',
    'KNN',
    'InstanceContrastiveLoss',
    'UnknownProbabilityLoss',
    'diffusion_score, mse_recon',
    'NoiseDiffusion',
)
# They make float32 of what they get.
FLOAT32 = (
    'BlurredClassifierLoss',
    'EnergyOODLoss',
    'InstanceContrastiveLoss',
    'VirtualOutlierSynthesis',
    'ClassQueues',
)
HALF = [name for name in CASES if name not in EXACT]


@contextmanager
def without_tf32():
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [kind.allow_tf32 for kind in kinds]
    for kind in kinds:
        kind.allow_tf32 = False
    try:
        yield
    finally:
        for kind, allowed in zip(kinds, before):
            kind.allow_tf32 = allowed


def compare(name: str, place: Place, record) -> None:
    """Run a case here and there; the difference goes into the report."""
    expected = computed(CASES[name], Place())
    half = torch.finfo(place.dtype).bits == 16
    dtype = place.dtype if half else None
    with without_tf32(), torch.autocast(place.device, dtype, enabled=half):
        found = computed(CASES[name], place)
    excess = largest_excess(found, expected)
    tolerance = TOLERANCES[place.dtype]
    record('difference', f'{excess:.2g}')
    record('tolerance', f'{tolerance:g}')
    assert excess <= tolerance


def test_all_parts_with_tensors_are_compared():
    rooms = [f'mmood.{room}.' for room in SHARED]
    names = {
        name
        for name, part in MODELS.module_dict.items()
        if part.__module__.startswith(tuple(rooms))
    }
    assert names == set(PARTS)


@pytest.mark.gpu
@pytest.mark.parametrize('name', CASES)
def test_a_gpu_computes_the_same(name, record_property):
    compare(name, Place('cuda'), record_property)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', HALF)
def test_half_precision_on_a_gpu_is_near(name, dtype, record_property):
    compare(name, Place('cuda', dtype), record_property)


@pytest.mark.parametrize('name', [n for n in CASES if n not in FLOAT32])
def test_float64_agrees(name, record_property):
    compare(name, Place('cpu', torch.float64), record_property)


@pytest.mark.parametrize('name', HALF)
def test_bfloat16_is_near(name, record_property):
    compare(name, Place('cpu', torch.bfloat16), record_property)
