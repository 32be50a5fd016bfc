"""OOD scores from a diffusion model of in-distribution features.

Paper: Galesso et al., "Diffusion for Out-of-Distribution Detection on Road
Scenes and Beyond" (DOoD), ECCV 2024, Sec. 5.3 and 6.4. A feature is
perturbed with noise; the denoiser finds the noise again where it knows the
features.

Shapes: N features of C channels, or B maps of C x H x W. Time t counts from
0 (one step of noise) to T - 1: the paper's {1, ..., 25} are 0..24 here.
Higher is more OOD.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.diffusion import GaussianDiffusion
from mmood.ops import raised

Denoiser = Callable[[Tensor, int], Tensor]
DTYPES = ('float32', 'bfloat16')


def directional_error(
    predicted: Tensor, noise: Tensor, dim: int = 1
) -> Tensor:
    """``-cos(predicted, noise)``, (N, C, *) -> (N, *), in [-1, 1].

    -1 where the noise was found, 0 for a vector of zeros. Half precision is
    raised to float32. Source: DOoD, Eq. 7. Raises ValueError if the shapes
    differ.
    """
    _check_shapes(predicted, noise)
    cosine = F.cosine_similarity(raised(predicted), raised(noise), dim)
    return -cosine.clamp(-1, 1)


@torch.no_grad()
def diffusion_score(
    denoiser: Denoiser,
    diffusion: GaussianDiffusion,
    x0: Tensor,
    *,
    kind: str = 'cosine',
    timesteps: Iterable[int] = range(25),
    weighted: bool = True,
    chunk_size: int = 4096,
    dtype: str = 'float32',
    generator: torch.Generator
    | Sequence[torch.Generator | None]
    | None = None,
) -> Tensor:
    """``sum_t w_t e_t``, (N, C) -> (N,) or (B, C, H, W) -> (B, H, W).

    ``e_t`` is, by ``kind``, for noise n and prediction p at time t,

    - ``'cosine'``: `directional_error` of p and n, in [-1, 1] (Eq. 7);
    - ``'mse_score'``: mean over the channels of ``(p - n)^2``, >= 0;
    - ``'mse_recon'``: mean over the channels of ``(x_0 - y_0)^2``, >= 0,
      where y_0 is what the reverse chain makes of x_t in t + 1 sequential
      steps, each with new noise (Sec. 6.4). The released code stops after
      the first and takes its guess of x_0.

    ``w_t`` is ``sqrt(1 - a_t)`` (Eq. 8), or 1 for ``weighted=False`` as in
    the released code.

    The denoiser is called with an int t and, for features, on at most
    ``chunk_size`` rows at a time; maps are not cut, because a U-Net sees
    neighbours. The noise is drawn for all of ``x0`` at once, on the
    ``generator``'s device, so the result does not depend on the chunks. Of
    several generators each draws for an equal part of ``x0``, in order: one
    per image, if the features of several go together. No gradient; float32
    except in the denoiser: ``dtype='bfloat16'`` multiplies its matrices in
    that precision, whose weights stay as they are, and ``'float32'`` leaves
    it as the caller has it.

    Raises ValueError for an unknown ``kind`` or ``dtype``, no or an
    impossible timestep, ``chunk_size`` < 1, ``x0`` of another dimension or
    one that the generators cannot share.
    """
    steps = list(timesteps)
    _check_arguments(kind, steps, diffusion.num_steps, chunk_size, x0)
    if dtype not in DTYPES:
        raise ValueError(f'dtype must be one of {DTYPES}, got {dtype!r}')
    x0 = raised(x0)
    if dtype == 'bfloat16':
        denoiser = partial(_in_bfloat16, denoiser)
    predict = partial(_predict, denoiser, chunk_size)
    if generator is None or isinstance(generator, torch.Generator):
        generator = [generator]
    generators = list(generator)
    if not generators or len(x0) % len(generators):
        raise ValueError(
            f'{len(generators)} generators cannot share x0 of {len(x0)} rows '
            'equally'
        )
    draw = partial(_draw, x0, generators)
    score = x0.new_zeros(x0.shape[:1] + x0.shape[2:])
    for t in steps:
        weight = diffusion.sigma(t) if weighted else 1.0
        score += weight * _ERRORS[kind](diffusion, predict, draw, x0, t)
    return score


def _noise_error(
    measure: Callable[[Tensor, Tensor], Tensor],
    diffusion: GaussianDiffusion,
    predict: Denoiser,
    draw: Callable[[], Tensor],
    x0: Tensor,
    t: int,
) -> Tensor:
    noise = draw()
    return measure(predict(diffusion.q_sample(x0, t, noise), t), noise)


def _reconstruction_error(
    diffusion: GaussianDiffusion,
    predict: Denoiser,
    draw: Callable[[], Tensor],
    x0: Tensor,
    t: int,
) -> Tensor:
    x = diffusion.q_sample(x0, t, draw())
    for step in range(t, -1, -1):
        noise = draw() if step else None
        x = diffusion.reverse_step(x, step, predict(x, step), noise)
    return _mean_square(x, x0)


def _mean_square(a: Tensor, b: Tensor) -> Tensor:
    _check_shapes(a, b)
    return (a - b).square().mean(1)


_ERRORS: dict[str, Callable[..., Tensor]] = dict(
    cosine=partial(_noise_error, directional_error),
    mse_score=partial(_noise_error, _mean_square),
    mse_recon=_reconstruction_error,
)


def _in_bfloat16(denoiser: Denoiser, x: Tensor, t: int) -> Tensor:
    # A weight's copy that outlived this call would be without gradient.
    with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
        return denoiser(x, t)


def _predict(denoiser: Denoiser, chunk_size: int, x: Tensor, t: int) -> Tensor:
    if x.dim() != 2 or len(x) <= chunk_size:
        return raised(denoiser(x, t))
    chunks = [raised(denoiser(rows, t)) for rows in x.split(chunk_size)]
    return torch.cat(chunks)


def _draw(like: Tensor, generators: Sequence) -> Tensor:
    size = len(like) // len(generators)
    parts = [
        torch.randn(
            (size, *like.shape[1:]),
            generator=generator,
            device=like.device if generator is None else generator.device,
            dtype=like.dtype,
        ).to(like.device)
        for generator in generators
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _check_shapes(predicted: Tensor, noise: Tensor) -> None:
    if predicted.shape != noise.shape:
        raise ValueError(
            f'the prediction has shape {tuple(predicted.shape)}, what it is '
            f'compared with {tuple(noise.shape)}; they must agree'
        )


def _check_arguments(
    kind: str, steps: list[int], num_steps: int, chunk_size: int, x0: Tensor
) -> None:
    if kind not in _ERRORS:
        raise ValueError(f'kind must be one of {[*_ERRORS]}, got {kind!r}')
    if not steps:
        raise ValueError('timesteps is empty; give at least one, from 0 on')
    wrong = [t for t in steps if not 0 <= t < num_steps]
    if wrong:
        raise ValueError(
            f'timesteps must be in 0..{num_steps - 1}, got {wrong}; they '
            'count from 0, one less than in the paper'
        )
    if chunk_size < 1:
        raise ValueError(f'chunk_size must be at least 1, got {chunk_size}')
    if x0.dim() not in (2, 4):
        raise ValueError(
            f'x0 must be (N, C) or (B, C, H, W), got {tuple(x0.shape)}'
        )
