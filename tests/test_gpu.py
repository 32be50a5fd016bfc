"""Scores, losses and parts give on a GPU what they give on the CPU.

Also, as a check of this check, in float64 on the CPU what they give in
float32, and in half precision, under autocast, nearly the same.
"""

from __future__ import annotations

import pytest
import torch

import mmood.diffusion
import mmood.losses
import mmood.necks
import mmood.outliers
import mmood.scores  # noqa: F401
from gpu_cases import CASES, PARTS
from gpu_helpers import Place, compare
from mmood.registry import MODELS

SHARED = ('diffusion', 'scores', 'losses', 'outliers', 'necks')
# float16 has no room for squares of features, and where a sign or an order
# decides, rounding may change it: they run in full precision in a detector.
EXACT = (
    'odin',
    'godin',
    'knn',
    'siren_knn',
    'ash',
    'csi',
    'diffusion_score, mse_recon',
    'maskomaly',
    'NoiseDiffusion',
)
# They make float32 of what they get.
FLOAT32 = (
    'BlurredClassifierLoss',
    'EnergyOODLoss',
    'dreambox',
    'VirtualOutlierSynthesis',
    'ClassQueues',
)
HALF = [name for name in CASES if name not in EXACT]


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
    compare(CASES[name], Place('cuda'), record_property)


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', HALF)
def test_half_precision_on_a_gpu_is_near(name, dtype, record_property):
    compare(CASES[name], Place('cuda', dtype), record_property)


@pytest.mark.parametrize('name', [n for n in CASES if n not in FLOAT32])
def test_float64_agrees(name, record_property):
    compare(CASES[name], Place('cpu', torch.float64), record_property)


@pytest.mark.parametrize('name', HALF)
def test_bfloat16_is_near(name, record_property):
    compare(CASES[name], Place('cpu', torch.bfloat16), record_property)
