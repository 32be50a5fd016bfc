"""Scores and virtual outliers against the direct way of each.

Random weights and features: time does not depend on them. Run by
``benchmark.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from benchmark_det import PLAIN, make_batch, tester
from mmengine.registry import DefaultScope
from timing import compare, measure
from torch import Tensor
from torch.distributions import MultivariateNormal

from mmood.outliers import low_likelihood_samples
from mmood.recipe import load
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet, knn_distance

CLASSES, CHANNELS, CANDIDATES, BOXES = 20, 1024, 10000, 100
BANK, QUERIES, NEIGHBOUR = 100_000, 1000, 10
KEY_CHANNELS, MAP = 384, 1400  # keys of ViT-S, of an image of 35 x 40 patches
NEAREST = 3  # of cDNP's public code, whose score is their mean distance
CHUNK = 4096
LOGIT_SCORES = ['msp', 'max_logit', 'energy', 'entropy']


def samplers(device: str) -> tuple[Callable, Callable]:
    """VOS' outliers; direct: draw all, take the density of each."""
    torch.manual_seed(0)
    means = torch.randn(CLASSES, CHANNELS, device=device)
    x = torch.randn(2 * CHANNELS, CHANNELS, device=device)
    scale_tril = torch.linalg.cholesky(x.T @ x / len(x))

    def ours() -> Tensor:
        return low_likelihood_samples(means, scale_tril, CANDIDATES)

    def direct() -> Tensor:
        outliers = []
        for mean in means:
            normal = MultivariateNormal(mean, scale_tril=scale_tril)
            candidates = normal.rsample((CANDIDATES,))
            worst = (-normal.log_prob(candidates)).topk(1).indices
            outliers.append(candidates[worst])
        return torch.cat(outliers)

    return ours, direct


def detectors(device: str, size: int) -> tuple[Callable, Callable]:
    """All logit scores of an image's boxes; direct: its whole test pass."""
    scores = ScoreSet(LOGIT_SCORES, num_classes=CLASSES)
    samples = Samples(torch.randn(BOXES, CLASSES, device=device))
    # Without those that have to be fitted.
    options = {'model.backbone.init_cfg': None, 'ood.scores': LOGIT_SCORES}
    model = MODELS.build(load(PLAIN, options).model).to(device)

    def ours() -> dict[str, Tensor]:
        return scores(samples)

    return ours, tester(model, make_batch(1, size))


def neighbours(device: str) -> tuple[Callable, Callable]:
    """k-th nearest distances; direct: all distances of some queries each."""
    torch.manual_seed(0)
    bank = torch.randn(BANK, CHANNELS, device=device)
    x = torch.randn(QUERIES, CHANNELS, device=device)

    def ours() -> Tensor:
        return knn_distance(x, bank, NEIGHBOUR)

    def direct() -> Tensor:
        squares, parts = bank.square().sum(1), []
        for part in x.split(100):
            squared = part.square().sum(1, True) + squares - 2 * part @ bank.T
            nearest = squared.topk(NEIGHBOUR, largest=False).values
            parts.append(nearest[:, -1].clamp(min=0).sqrt())
        return torch.cat(parts)

    return ours, direct


def key_neighbours(device: str) -> tuple[Callable, Callable]:
    """cDNP of a map; direct: product and topk for chunks of the bank."""
    torch.manual_seed(0)
    bank = torch.randn(BANK, KEY_CHANNELS, device=device)
    x = torch.randn(MAP, KEY_CHANNELS, device=device)

    def ours() -> Tensor:
        return knn_distance(x, bank, NEAREST, CHUNK, average=True)

    def direct() -> Tensor:
        squares, best = x.square().sum(1, True), []
        for part in bank.split(CHUNK):
            squared = squares + part.square().sum(1) - 2 * x @ part.T
            best.append(squared.topk(NEAREST, largest=False).values)
        nearest = torch.cat(best, 1).topk(NEAREST, largest=False).values
        return nearest.clamp(min=0).sqrt().mean(1)

    return ours, direct


def rows(parts: list[str], device: str, runs: int, size: int) -> list[list]:
    """Lines of the table, of these `benchmark.SCORE_PARTS`."""
    table = []
    if 'sampling' in parts:
        pair = samplers(device)
        pair[0]()  # warm; the direct way takes minutes on a CPU: once will do
        table.append(compare('VOS sampling', *pair, 1, device, 0))
    if 'knn' in parts:
        pair = neighbours(device)
        table.append(compare('kNN', *pair, min(runs, 5), device, 1))
    if 'cdnp' in parts:
        pair = key_neighbours(device)
        table.append(measure('cDNP', *pair, runs, device))
    if 'logits' in parts:
        with DefaultScope.overwrite_default_scope('mmdet'):
            pair = detectors(device, size)
            name = f'{len(LOGIT_SCORES)} logit scores / inference'
            table.append(compare(name, *pair, runs, device))
    return table
