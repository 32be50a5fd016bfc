"""Mixtures of diagonal Gaussians, one mixture for each class.

Paper: Liang et al., "GMMSeg: Gaussian Mixture based Generative Semantic
Segmentation Models", NeurIPS 2022.

Shapes: N samples, D channels, K classes of M components each, * any trailing
shape (none for rows, H W for maps).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor

from .class_queues import by_class, class_counts
from .precision import full_products, raised


def log_gaussians(x: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
    """``log N(x; mu, diag(sigma^2))``, (N, D, *) -> (N, K, M, *), nats.

    ``means`` and ``deviations`` are (K, M, D). In x's dtype, at least
    float32, under autocast too; as one product, so made for x, mu and sigma
    within a few orders of magnitude. Raises ValueError for shapes that do not
    fit.
    """
    if means.dim() != 3 or means.shape != deviations.shape:
        raise ValueError(
            'means and deviations must both be (K, M, D), got '
            f'{tuple(means.shape)} and {tuple(deviations.shape)}'
        )
    if x.dim() < 2 or x.shape[1] != means.shape[2]:
        raise ValueError(
            f'x must be (N, {means.shape[2]}, *), got {tuple(x.shape)}'
        )
    with torch.autocast(x.device.type, enabled=False), full_products():
        x = raised(x).movedim(1, -1)
        mu, sigma = (p.to(x.dtype).flatten(0, 1) for p in (means, deviations))
        precision = sigma.square().reciprocal()  # (K M, D)
        constant = x.shape[-1] * math.log(2 * math.pi)
        offset = constant / 2 + sigma.log().sum(1)
        offset = offset + (mu.square() * precision).sum(1) / 2
        weights = torch.cat([-precision / 2, mu * precision], 1)
        found = torch.cat([x.square(), x], -1) @ weights.T - offset
    return found.unflatten(-1, means.shape[:2]).movedim((-2, -1), (1, 2))


@torch.no_grad()
def sinkhorn_assignment(
    log_densities: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    rounds: int = 3,
    epsilon: float = 0.05,
) -> Tensor:
    """Which component of its class each sample belongs to, (N,) in [0, M).

    ``log_densities`` (N, M) are those of the components of the sample's class
    ``labels`` (N,). Within a class they are divided by the largest magnitude;
    ``exp(. / epsilon)`` is scaled in turn so that each component gets the same
    total and each sample the same, ``rounds`` times (Sinkhorn's optimal
    transport between samples and components of equal weight). The largest
    entry of a sample is its component. In float64, over the samples of all
    ranks: a collective call. Source: GMMSeg; ``rounds`` and
    ``epsilon`` are those of its public code.
    """
    plan = sinkhorn(
        log_densities, labels, num_classes, rounds=rounds, epsilon=epsilon
    )
    return plan.argmax(1)


@torch.no_grad()
def sinkhorn(
    log_densities: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    rounds: int,
    epsilon: float,
) -> Tensor:
    """The plan of `sinkhorn_assignment`, (N, M); each row sums to 1.

    The columns of a class tend to its number of samples by M.
    """
    if rounds < 1 or epsilon <= 0:
        raise ValueError(
            f'rounds must be at least 1 and epsilon positive, got {rounds} '
            f'and {epsilon}'
        )
    scores = log_densities.double()
    shape = num_classes, scores.shape[1]
    largest = scores.new_zeros(num_classes)
    largest.scatter_reduce_(0, labels, scores.abs().amax(1), 'amax')
    all_reduce(largest, 'max')
    largest = torch.where(largest > 0, largest, 1)
    plan = (scores / largest[labels, None] / epsilon).exp()
    for _ in range(rounds):
        columns = scores.new_zeros(shape).index_add_(0, labels, plan)
        all_reduce(columns)
        plan = plan / columns[labels]
        plan = plan / plan.sum(1, keepdim=True)
    return plan


def evenly_spread(values: Tensor, groups: Tensor, most: int) -> Tensor:
    """Places of at most ``most`` of the values (N,) of each group (N,).

    Those of a group are in ascending order of their values, in equal steps
    from the least one, so the choice does not depend on the order in which
    the values come. Groups are counted from 0.
    """
    if not len(values):
        return groups
    count = int(groups.max()) + 1
    ascending = values.argsort(stable=True)
    order, number = by_class(groups[ascending], count)
    places = ascending[order]
    held = class_counts(groups, count)[groups[places]]
    taken = held.clamp(max=most)
    step = number * taken // held
    before = (number - 1) * taken // held
    return places[(number == 0) | (step > before)]


def moments_of_directions(
    samples: Tensor, size: int, floor: float = 1e-2
) -> tuple[Tensor, Tensor]:
    """Unit mean and deviations (D,) of a queue of unit vectors (n, D).

    ``mu = sum x / |sum x|`` and ``sigma = sqrt(mean (x - mu)^2 + floor)``,
    per channel, in float64. A queue of ``size`` places starts full of random
    directions in the public code; here the ``size - n`` places that are still
    free count as that, by what a uniform direction u gives on average, ``E u
    = 0`` and ``E (u - mu)^2 = 1 / D + mu^2``. With no sample, or samples that
    cancel out, mu is 0. Source: GMMSeg, public code.
    """
    x, channels = samples.double(), samples.shape[1]
    mean = F.normalize(x.sum(0), dim=0)
    free = (size - len(x)) * (1 / channels + mean.square())
    variance = ((x - mean).square().sum(0) + free) / size
    return mean, (variance + floor).sqrt()
