"""Each score, loss and part that has tensors, on fixed inputs.

A case takes a `gpu_helpers.Place` and gives tensors. `PARTS` are named like
the registered class that they run, `FUNCTIONS` like the function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gpu_helpers import Place, with_gradient
from gpu_losses import LOSSES, C, Case, Head, K, M, N, leaves
from mmood import losses, ops, outliers, scores
from mmood.diffusion import (
    BlurDiffusion,
    DenoisingMLP,
    DenoisingUNet,
    GaussianDiffusion,
    NoiseDiffusion,
)
from mmood.necks import DFDDNeck


def logit_score(name: str, place: Place) -> Tensor:
    return scores.get_score(name)(place.randn(N, K))


def fitted(build: Callable, place: Place) -> list[Tensor]:
    """Fit on two batches, then score other features."""
    score = place(build())
    score.reset()
    for seed in (1, 2):
        x, labels = place.randn(N, C, seed=seed), place.labels(N, K)
        samples = scores.Samples(place.randn(N, K, seed=seed), x)
        food = samples if score.source == 'samples' else x
        keys = torch.arange(N) + N * seed
        score.update(food, labels=labels, keys=keys)
    score.finish(('a', 'b', 'c', 'd', 'e'))
    x = 2 * place.randn(M, C, seed=3)
    samples = scores.Samples(place.randn(M, K, seed=3), x)
    return [score(samples if score.source == 'samples' else x)]


def moved(score: nn.Module, classifier: Callable, place: Place) -> Tensor:
    head = place(Head(classifier()).eval())
    return score(place.randn(N, 2, 3, 3), head)


def decomposed(place: Place) -> list[Tensor]:
    layer = place(scores.DecomposedLinear(C, K))
    (x,) = leaves(place, (N, C))
    return with_gradient(layer(x).square().sum(), x)


def csi_score(place: Place) -> Tensor:
    head, loss = place(Head()), place(losses.CSILoss(C, channels=4))
    score = loss.score
    score.reset()
    labels, keys = place.labels(N, K), torch.arange(N)
    score.update(place.randn(N, 2, 3, 3), head, labels=labels, keys=keys)
    score.finish()
    return score(place.randn(M, 2, 3, 3, seed=1), head)


def noise_score(kind: str, place: Place) -> Tensor:
    denoiser = place(filled(DenoisingMLP(C)).eval())
    x = place.randn(N, C)
    return scores.diffusion_score(
        denoiser, GaussianDiffusion(), x, kind=kind, timesteps=range(5)
    )


def filled(module: nn.Module) -> nn.Module:
    """Without the zeros that its last layers begin with."""
    for weight in module.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return module


def denoised(build: Callable, shape: tuple, place: Place) -> list[Tensor]:
    network = place(filled(build(C)))
    (x,) = leaves(place, shape)
    t = place.labels(len(x), 5)
    return with_gradient(network(x, t).square().sum(), x)


def made_up(build: Callable, place: Place) -> list[Tensor]:
    source = place(build())
    (features,) = leaves(place, (N, C))
    for _ in range(2):
        made, found = source(features, place.labels(N, K), active=True)
    return [made, *found.values()]


def gaussians(place: Place) -> list[Tensor]:
    means, factor = outliers.tied_gaussians(place.randn(K, N, C))
    return [means, factor, outliers.low_likelihood_samples(means, factor)]


def neck(kind: str, place: Place) -> list[Tensor]:
    part = place(filled(DFDDNeck(C, diffusion=dict(type=kind), width=8)))
    maps = leaves(place, (2, C, 12, 10), (2, C, 6, 5), (2, C, 1, 1))
    found = part(maps)
    loss = sum(m.square().sum() for m in found) / 100
    return [
        *with_gradient(loss + found.loss_deblur, *maps),
        *found.blurred,
        *found.deblurred,
    ]


def chain(diffusion: object, place: Place) -> list[Tensor]:
    x = place.randn(2, C, 9, 7)
    return [*diffusion.forward_process(x), diffusion.degrade(x)]


def noised(place: Place) -> list[Tensor]:
    diffusion, x = GaussianDiffusion(), place.randn(N, C)
    noise, t = place.randn(N, C, seed=1), place.labels(N, 1000)
    return [
        diffusion.q_sample(x, t, noise),
        diffusion.q_sample(x, t.cpu(), noise),
        diffusion.reverse_step(x, 3, noise, noise),
    ]


def bessel(place: Place) -> list[Tensor]:
    x = place.randn(N).abs() * 50
    return [ops.log_bessel_i(31, x), ops.log_scaled_bessel_i(0.5, x)]


def queues(place: Place) -> list[Tensor]:
    held = place(ops.ClassQueues(K, C, 6))
    for seed in range(3):
        held.add(place.randn(N, C, seed=seed), place.labels(N, K))
    return [held.memory, held.seen, held.means, *held.samples()]


def reservoir(place: Place) -> Tensor:
    held = ops.Reservoir(20)
    for seed in range(3):
        held.add(place.randn(N, C, seed=seed))
    return held.merge()


def ranges(place: Place) -> list[Tensor]:
    part = place(ops.FeatureRange(C))
    part.update(place.randn(N, C))
    return [part.minimum, part.maximum, part(place.randn(M, C, seed=1))]


def shuffled(place: Place) -> Tensor:
    pool = ops.ShuffleBuffer(30)
    pool.add(place.randn(N, C))
    return pool.draw(10)


PARTS: dict[str, Case] = dict(
    Mahalanobis=partial(fitted, lambda: scores.Mahalanobis(C, K)),
    GramMatrices=partial(fitted, lambda: scores.GramMatrices(C, K)),
    KNN=partial(fitted, lambda: scores.KNN(C, 3, bank_size=30)),
    ODIN=partial(moved, scores.ODIN(), lambda: None),
    GeneralizedODIN=partial(
        moved, scores.GeneralizedODIN(), lambda: scores.DecomposedLinear(C, K)
    ),
    DecomposedLinear=decomposed,
    DenoisingMLP=partial(denoised, DenoisingMLP, (N, C)),
    DenoisingUNet=partial(denoised, DenoisingUNet, (2, C, 9, 7)),
    **LOSSES,
    FlowFeatureSynthesis=partial(
        made_up, lambda: outliers.FlowFeatureSynthesis(C)
    ),
    GANSynthesis=partial(made_up, lambda: outliers.GANSynthesis(C)),
    VirtualOutlierSynthesis=partial(
        made_up, lambda: outliers.VirtualOutlierSynthesis(K, C, queue_size=16)
    ),
    DFDDNeck=partial(neck, 'blur'),
)
FUNCTIONS: dict[str, Case] = {
    **{name: partial(logit_score, name) for name in scores.score_names()},
    **{
        f'diffusion_score, {kind}': partial(noise_score, kind)
        for kind in ('cosine', 'mse_score', 'mse_recon')
    },
    'CSIScore': csi_score,
    'DFDDNeck, noise': partial(neck, 'noise'),
    'tied_gaussians': gaussians,
    'gaussian_blur2d': lambda place: ops.gaussian_blur2d(
        place.randn(2, C, 9, 7), 0.8
    ),
    'BlurDiffusion': partial(chain, BlurDiffusion()),
    'NoiseDiffusion': partial(chain, NoiseDiffusion()),
    'GaussianDiffusion': noised,
    'log_bessel_i': bessel,
    'ClassQueues': queues,
    'Reservoir': reservoir,
    'FeatureRange': ranges,
    'ShuffleBuffer': shuffled,
}
CASES = {**PARTS, **FUNCTIONS}
