"""Each score, loss and part that has tensors, on fixed inputs.

A case takes a `gpu_helpers.Place` and gives tensors. `PARTS` are named like
the registered class that they run, `FUNCTIONS` like the function or score.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from batches import full_batch
from gpu_helpers import Place, with_gradient
from mmood import ops, outliers, scores
from mmood.diffusion import (
    BlurDiffusion,
    DenoisingMLP,
    DenoisingUNet,
    GaussianDiffusion,
    NoiseDiffusion,
)
from mmood.necks import DFDDNeck, collect_losses
from registered import (
    LOSSES,
    NAMES,
    SOURCES,
    C,
    K,
    Score,
    batch,
    build,
    labels,
)

N, M = 40, 24
Case = Callable[[Place], object]


def leaves(place: Place, *shapes: tuple) -> list[Tensor]:
    return [
        place.randn(*shape, seed=seed).requires_grad_()
        for seed, shape in enumerate(shapes)
    ]


def loss(name: str, place: Place) -> list[Tensor]:
    part = place(build(name))
    rows, made = leaves(place, (N, C), (M, C))
    if getattr(part, 'of_pixels', False):
        return with_gradient(part(batch(rows, loss=part)), rows)
    seen = full_batch(rows, made, labels(N).to(place.device), K)
    found = part(seen)
    if not found:  # no loss by itself: what it keeps
        return list(part.state_dict().values())
    return with_gradient(found, rows, made)


def source(name: str, place: Place) -> list[Tensor]:
    part = place(build(name))
    rows, made = leaves(place, (N, C), (M, C))
    seen = full_batch(rows, made, labels(N).to(place.device), K)
    found, losses = part(seen)
    return [found.features, found.logits, *losses.values()]


def score(name: str, place: Place) -> Tensor:
    """Fitted there, of other features."""
    part = place(Score(name)).fit(place.randn(2 * N, C))
    return part(2 * place.randn(M, C, seed=3))


def decomposed(place: Place) -> list[Tensor]:
    layer = place(scores.DecomposedLinear(C, K))
    (x,) = leaves(place, (N, C))
    return with_gradient(layer(x).square().sum(), x)


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


def gaussians(place: Place) -> list[Tensor]:
    means, factor = outliers.tied_gaussians(place.randn(K, N, C))
    return [means, factor, outliers.low_likelihood_samples(means, factor)]


def neck(kind: str, place: Place) -> list[Tensor]:
    part = place(filled(DFDDNeck(C, diffusion=dict(type=kind), width=8)))
    maps = leaves(place, (2, C, 12, 10), (2, C, 6, 5), (2, C, 1, 1))
    found = part(maps)
    loss = sum(m.square().sum() for m in found) / 100
    return [
        *with_gradient({**collect_losses(found), 'loss': loss}, *maps),
        *found.maps['blurred'],
        *found.maps['deblurred'],
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
    **{name: partial(loss, name) for name in LOSSES},
    **{name: partial(source, name) for name in SOURCES},
    DecomposedLinear=decomposed,
    DenoisingMLP=partial(denoised, DenoisingMLP, (N, C)),
    DenoisingUNet=partial(denoised, DenoisingUNet, (2, C, 9, 7)),
    DFDDNeck=partial(neck, 'blur'),
)
FUNCTIONS: dict[str, Case] = {
    **{name: partial(score, name) for name in NAMES},
    **{
        f'diffusion_score, {kind}': partial(noise_score, kind)
        for kind in ('cosine', 'mse_score', 'mse_recon')
    },
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
