"""How much the last layer would change to make all classes equal.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
boxes, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

from torch import Tensor

from mmood.ops import raised

from .samples import Samples, register_score


def gradnorm(
    features: Tensor, logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """``-|f|_1 sum_k |p_k - 1/K| / T``, (N, C, *), (N, K, *) -> (N, *), <= 0.

    p is the softmax of the logits / T. It is less the L1 norm of the
    gradient of KL(u, p) in the weights of the layer that makes the logits,
    u the uniform distribution: the gradient is an outer product of features
    and ``(p - u) / T``. ID samples have the larger norm. Source: Huang et
    al., "On the Importance of Gradients for Detecting Distributional Shifts
    in the Wild", NeurIPS 2021; the authors' code has K times this. Raises
    ValueError if ``temperature`` is not positive.
    """
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')
    p = (raised(logits) / temperature).softmax(1)
    spread = (p - 1 / p.shape[1]).abs().sum(1)
    return -raised(features).abs().sum(1) * spread / temperature


@register_score(
    'gradnorm', reads=('features', 'logits', 'classifier'), kinds=('softmax',)
)
def gradnorm_score(samples: Samples, temperature: float = 1.0) -> Tensor:
    """`gradnorm` of what the classifier gets and makes."""
    return gradnorm(samples.features, samples.logits, temperature)
