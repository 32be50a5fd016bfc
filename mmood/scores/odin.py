"""Scores of inputs that are moved to where the model is more certain.

Shapes: N samples, K classes, * any trailing shape (none for RoIs, H W for
images). Higher is more OOD.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .logits import max_logit, msp
from .samples import Samples, register_score


def perturb(
    score: Callable[[Tensor], Tensor], x: Tensor, epsilon: float
) -> Tensor:
    """``x - epsilon sign(d score / d x)``, (N, ...) -> the same, detached.

    ``score`` maps x to (N, *), each sample for itself: one backward pass of
    the sum serves all. Without samples or with ``epsilon`` 0 there is none.
    Runs under `torch.no_grad` and `torch.inference_mode` too, and leaves the
    parameters' gradients alone. ``epsilon`` is in the unit of x; half
    precision rounds what is below its resolution. Raises ValueError for a
    negative ``epsilon``.
    """
    if not epsilon >= 0:
        raise ValueError(f'epsilon must be at least 0, got {epsilon}')
    if epsilon == 0 or not x.numel():
        return x.detach()
    # A clone: no gradient flows into what inference mode made.
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(score(x).sum(), x)
        return (x - epsilon * gradient.sign()).detach()


@torch.no_grad()
def odin(
    forward: Callable[[Tensor], Tensor],
    x: Tensor,
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
    dim: int = 1,
) -> Tensor:
    """``1 - max softmax(forward(x') / T)``, float64, in [0, 1 - 1/K].

    x' is x moved by `perturb` to a smaller ``-log max softmax``. Pooled RoI
    maps x (N, c, h, w) with logits (N, K) give (N,), images (N, 3, H, W)
    with logits (N, K, H, W) give (N, H, W). At T = 1000 all scores lie
    within about 1e-3: in float64 they keep the order of the logits.
    Source: Liang et al., "Enhancing The Reliability of Out-of-distribution
    Image Detection in Neural Networks", ICLR 2018, Eq. 1 and 2. Raises
    ValueError for a ``temperature`` that is not positive, a negative
    ``epsilon`` or K = 0.
    """
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')

    def surprise(x: Tensor) -> Tensor:
        # Times T: else the gradient is T times smaller, and underflows.
        logits = forward(x).double() / temperature
        return temperature * max_logit(logits.log_softmax(dim), dim)

    moved = perturb(surprise, x, epsilon)
    return msp(forward(moved).double() / temperature, dim)


@register_score(
    'odin', reads=('inputs',), kinds=('softmax',), by_gradient=True
)
def odin_score(
    samples: Samples, temperature: float = 1000.0, epsilon: float = 0.0014
) -> Tensor:
    """`odin` of what the head gets, (N, c, h, w) -> (N, *).

    Of a box the pooled map moves: the image would move the boxes too, and
    each of them needs its own. ``epsilon`` is absolute, in the unit of the
    inputs; the paper's 0.0014 is for pixels in [0, 1] and only a start.
    """
    return odin(
        lambda x: samples.view(x).logits, samples.inputs, temperature, epsilon
    )
