"""Class Gaussians with one covariance, and their least likely samples.

Shapes: K classes, n samples of each, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

TRIES = 8


@torch.no_grad()
def tied_gaussians(
    features: Tensor, *, jitter: float = 1e-4, shrinkage: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Means (K, C) and the Cholesky factor (C, C) of the classes' Gaussians.

    ``Sigma = (1 - s) S + s tr(S) / C I + jitter I`` with ``S = X^T X / N`` of
    the N = K n features (K, n, C), each less its class mean, and s the
    ``shrinkage``, in [0, 1]. Where rounding leaves Sigma indefinite, the
    jitter grows tenfold, up to 7 times. In float32, or float64 for such.
    Source: VOS (ICLR 2022), Sec. 3.1, whose code adds 1e-4 I.
    Raises ValueError without features, or if no jitter helps.
    """
    if features.numel() == 0:
        raise ValueError(
            f'features of shape {tuple(features.shape)} have no Gaussian'
        )
    if features.dtype != torch.float64:
        features = features.float()
    means = features.mean(1)
    centred = (features - means[:, None]).flatten(0, 1)  # (N, C)
    with torch.autocast(features.device.type, enabled=False):
        sigma = centred.T @ centred / len(centred)
    spread = sigma.diagonal().mean()
    sigma = (1 - shrinkage) * sigma
    sigma.diagonal().add_(shrinkage * spread)
    return means, _cholesky(sigma, jitter)


def _cholesky(sigma: Tensor, jitter: float) -> Tensor:
    """The factor of ``sigma + jitter I``, with the first jitter that works."""
    identity = torch.eye(len(sigma), dtype=sigma.dtype, device=sigma.device)
    for power in range(TRIES):
        noise = jitter * 10**power
        factor, info = torch.linalg.cholesky_ex(sigma + noise * identity)
        if (info == 0) & torch.isfinite(factor).all():
            return factor
    raise ValueError(
        f'the covariance of {len(sigma)} channels has no Cholesky factor, '
        f'even with a jitter of {noise:g} (largest variance '
        f'{sigma.diagonal().max():g}): the features diverge, or raise '
        'shrinkage or jitter'
    )


@torch.no_grad()
def low_likelihood_samples(
    means: Tensor,
    scale_tril: Tensor,
    num_candidates: int = 10000,
    num_select: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The ``num_select`` least likely of many draws, (K * num_select, C).

    Distributed as if ``num_candidates`` were drawn from each N(mu, L L^T),
    means (K, C), ``scale_tril`` L (C, C), and those of least density kept:
    for ``x = mu + L e`` the density falls with ``|e|^2``, which is chi^2 with
    C degrees of freedom and independent of ``e / |e|``, which is uniform on
    the sphere. So only the ``|e|^2`` are drawn, the largest kept, and only
    these get a direction. The samples of a class lie side by side, the
    least likely first.
    Source: VOS (ICLR 2022), Sec. 3.1, as its code does it.
    """
    classes, channels = means.shape
    half = means.new_full((classes, num_candidates), channels / 2)
    chi2 = 2 * torch._standard_gamma(half, generator=generator)
    radius = chi2.topk(num_select, dim=1).values.sqrt()
    direction = torch.randn(
        (classes, num_select, channels),
        dtype=means.dtype,
        device=means.device,
        generator=generator,
    )
    direction /= torch.linalg.vector_norm(direction, dim=2, keepdim=True)
    noise = radius[..., None] * direction
    with torch.autocast(means.device.type, enabled=False):
        samples = means[:, None] + noise @ scale_tril.T
    return samples.flatten(0, 1)
