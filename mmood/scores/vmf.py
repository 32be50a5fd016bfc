"""OOD score from von Mises-Fisher densities on the unit sphere.

Paper: Du et al., "SIREN: Shaping Representations for Detecting
Out-of-Distribution Objects", NeurIPS 2022.

Shapes: N samples of D embedding channels, K classes, * any trailing shape
(none for RoIs, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.ops import log_scaled_bessel_i, raised


def log_vmf_normalizer(kappa: Tensor, dim: int) -> Tensor:
    """``log C_d(kappa)`` of the density ``C_d exp(kappa mu.z)``, elementwise.

    ``C_d = kappa^v / ((2 pi)^(d/2) I_v(kappa))`` with v = d/2 - 1, in nats.
    At kappa = 0, without a pole, the uniform density: minus the logarithm of
    the sphere's area. Its derivative is minus the mean resultant length
    ``I_{v+1} / I_v``, in (-1, 0]. nan for kappa < 0. At least float32.
    Source: SIREN. Raises ValueError for ``dim`` < 2.
    """
    if dim < 2:
        raise ValueError(f'dim must be at least 2, got {dim}')
    constant = dim / 2 * math.log(2 * math.pi)
    return -constant - log_scaled_bessel_i(dim / 2 - 1, kappa)


def log_vmf_density(
    z: Tensor, prototypes: Tensor, kappa: Tensor, dim: int = 1
) -> Tensor:
    """``log C_d(kappa_c) + kappa_c mu_c.z``, (N, D, *) -> (N, K, *), nats.

    ``z`` is normalized along ``dim`` here; ``prototypes`` mu (K, D) are unit
    vectors already, ``kappa`` (K,) >= 0. In ``z``'s dtype, at least float32,
    under autocast too. Source: SIREN. Raises ValueError for K = 0 or shapes
    that do not fit.
    """
    classes = len(prototypes)
    sizes = (classes, z.shape[dim]), (classes,)
    if classes == 0 or (prototypes.shape, kappa.shape) != sizes:
        raise ValueError(
            f'prototypes must be (K, D) with K >= 1, kappa (K,) and z have D '
            f'channels in dimension {dim}, got {tuple(prototypes.shape)}, '
            f'{tuple(kappa.shape)} and {tuple(z.shape)}'
        )
    with torch.autocast(z.device.type, enabled=False):
        z = raised(z).movedim(dim, -1)
        prototypes, kappa = prototypes.to(z.dtype), kappa.to(z.dtype)
        cosine = F.normalize(z, dim=-1) @ prototypes.T
        offset = log_vmf_normalizer(kappa, z.shape[-1])
        return (offset + kappa * cosine).movedim(-1, dim)


def vmf_score(
    z: Tensor, prototypes: Tensor, kappa: Tensor, dim: int = 1
) -> Tensor:
    """``-max_c`` of `log_vmf_density`, (N, D, *) -> (N, *), nats, unbounded.

    Source: SIREN, the parametric score. Errors as there.
    """
    return -log_vmf_density(z, prototypes, kappa, dim).amax(dim)
