"""OOD scores from class logits.

Shapes: N samples, K classes (background excluded), * any trailing shape
(none for RoIs, H W for maps). Higher is more OOD. Half precision is raised
to float32 first, where differences between confident samples still show.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.ops import raised

from .samples import KINDS, Samples, register_score


def check_logits(logits: Tensor, dim: int) -> Tensor:
    """In float32 at least; ValueError without a class in ``dim``."""
    if logits.dim() == 0 or logits.shape[dim] == 0:
        raise ValueError(
            f'logits of shape {tuple(logits.shape)} have no class in '
            f'dimension {dim}'
        )
    return raised(logits)


def class_logits(values: Tensor, dim: int = 0) -> Tensor:
    """What MMSegmentation calls ``seg_logits``, as logits of all classes.

    (K, *) for K >= 2 is left as it is. A segmentor of one channel
    (``out_channels=1``) gives the second class's probability sigmoid(z)
    instead: its two classes' logits are (0, z), in float32 at least. What
    rounds to 0 or 1 counts as the last number before. Raises ValueError for
    one channel with values outside of [0, 1].
    """
    if values.shape[dim] != 1:
        return values
    p = raised(values)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            'a segmentor of one channel must give probabilities in [0, 1], '
            f'got {p.min():.4g} to {p.max():.4g}'
        )
    z = torch.logit(p, eps=torch.finfo(p.dtype).eps / 2)
    return torch.cat([torch.zeros_like(z), z], dim)


def msp(logits: Tensor, dim: int = 1) -> Tensor:
    """``1 - max softmax(logits)``, (N, K, *) -> (N, *), in [0, 1 - 1/K].

    One class alone has probability 1: the score is 0 everywhere.
    Source: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples", ICLR 2017. Raises ValueError for K = 0.
    """
    return 1 - check_logits(logits, dim).softmax(dim).amax(dim)


def max_logit(logits: Tensor, dim: int = 1) -> Tensor:
    """``-max logits``, (N, K, *) -> (N, *), unbounded, in the logits' unit.

    Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for
    Real-World Settings", ICML 2022. Raises ValueError for K = 0.
    """
    return -check_logits(logits, dim).amax(dim)


def energy(logits: Tensor, dim: int = 1, temperature: float = 1.0) -> Tensor:
    """Free energy ``-T logsumexp(logits / T)``, (N, K, *) -> (N, *).

    Unbounded, in the logits' unit. Source: Liu et al., "Energy-based
    Out-of-distribution Detection", NeurIPS 2020, Eq. 4. DFDD's ID-ness S
    (ICCV 2023, Eq. 10) is ``sigmoid(-energy)``, with the opposite order.
    Raises ValueError for K = 0 or a ``temperature`` that is not positive.
    """
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    logits = check_logits(logits, dim)
    return -temperature * torch.logsumexp(logits / temperature, dim=dim)


def joint_energy(logits: Tensor, dim: int = 1) -> Tensor:
    """``-sum_k log(1 + exp(f_k))``, (N, K, *) -> (N, *), <= 0, nats.

    The energy of classes that are judged each for itself, by a sigmoid: the
    sum of their free energies. Source: Wang et al., "Can multi-label
    classification networks know what they don't know?", NeurIPS 2021, Eq. 6.
    Raises ValueError for K = 0.
    """
    return -F.softplus(check_logits(logits, dim)).sum(dim)


def entropy(logits: Tensor, dim: int = 1) -> Tensor:
    """``-sum_k p_k log p_k`` in nats, (N, K, *) -> (N, *), in [0, log K].

    p is the softmax over the K logits. Raises ValueError for K = 0.
    """
    return torch.special.entr(check_logits(logits, dim).softmax(dim)).sum(dim)


def mixture(maps: Tensor, dim: int = 1) -> Tensor:
    """``p_k = L_k / sum_j L_j`` of sums over masks L >= 0, the same shape.

    The softmax of ``log L``. Where no mask claims a pixel, all classes are
    alike: sums below the smallest normal float count as that. Raises
    ValueError for K = 0.
    """
    maps = _positive(maps, dim)
    return maps / maps.sum(dim, keepdim=True)


def mixture_energy(maps: Tensor, dim: int = 1) -> Tensor:
    """``-log sum_k L_k`` of sums over masks, (N, K, *) -> (N, *), nats.

    The free energy of the logits ``log L``: how little all masks together
    claim of a pixel, whatever the class. From ``-log N``, of N masks, to
    about 87, where none does. Raises ValueError for K = 0.
    """
    return -_positive(maps, dim).sum(dim).log()


def _positive(maps: Tensor, dim: int) -> Tensor:
    maps = check_logits(maps, dim)
    return maps.clamp(min=torch.finfo(maps.dtype).tiny)


def gen(
    logits: Tensor, dim: int = 1, gamma: float = 0.1, top: int = 100
) -> Tensor:
    """``sum_m p_m^gamma (1 - p_m)^gamma``, (N, K, *) -> (N, *), >= 0.

    Generalized entropy of the ``top`` largest softmax probabilities p_m, or
    of all if K is less; 0 for K = 1, at most min(top, K). Source: Liu et
    al., "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution
    Detection", CVPR 2023, with its settings. Raises ValueError for K = 0,
    for ``gamma`` outside of (0, 1) or ``top`` below 1.
    """
    if not 0 < gamma < 1:
        raise ValueError(f'gamma must be in (0, 1), got {gamma}')
    if top < 1:
        raise ValueError(f'top must be at least 1, got {top}')
    p = check_logits(logits, dim).softmax(dim)
    values, places = p.topk(min(top, p.shape[dim]), dim)
    # That of the largest one as a sum, which keeps the digits near 0.
    others = p.scatter(dim, places.narrow(dim, 0, 1), 0).sum(dim, True)
    rest = 1 - values.narrow(dim, 1, values.shape[dim] - 1)
    return (values * torch.cat([others, rest], dim)).pow(gamma).sum(dim)


@register_score('msp', kinds=KINDS)
def _msp(samples: Samples) -> Tensor:
    """`msp`; of independent classes ``1 - max sigmoid(logits)``.

    Of masks one minus the largest part of their `mixture`.
    """
    if samples.kind == 'sigmoid':
        return 1 - max_logit(samples.logits).neg().sigmoid()
    if samples.kind == 'mask':
        return 1 - mixture(samples.logits).amax(1)
    return msp(samples.logits)


@register_score('max_logit', kinds=KINDS)
def _max_logit(samples: Samples) -> Tensor:
    return max_logit(samples.logits)


@register_score('energy', kinds=KINDS)
def _energy(samples: Samples, temperature: float = 1.0) -> Tensor:
    """`energy`; `joint_energy` of independent classes, `mixture_energy`."""
    if samples.kind == 'softmax':
        return energy(samples.logits, temperature=temperature)
    if temperature != 1:
        raise ValueError(
            f'the energy of {samples.kind} logits has no temperature, got '
            f'{temperature}: leave it out'
        )
    of_masks = samples.kind == 'mask'
    return (mixture_energy if of_masks else joint_energy)(samples.logits)


@register_score('entropy', kinds=('softmax', 'mask'))
def _entropy(samples: Samples) -> Tensor:
    """`entropy`; of masks that of their `mixture`."""
    if samples.kind == 'mask':
        return torch.special.entr(mixture(samples.logits)).sum(1)
    return entropy(samples.logits)


@register_score('gen', kinds=('softmax',))
def _gen(samples: Samples, gamma: float = 0.1, top: int = 100) -> Tensor:
    return gen(samples.logits, gamma=gamma, top=top)
