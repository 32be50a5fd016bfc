"""Generalized ODIN: a classifier whose confidence is a quotient.

Shapes: N samples, C channels, K classes. Higher is more OOD.
Source: Hsu et al., "Generalized ODIN: Detecting Out-of-Distribution Image
without Learning from Out-of-Distribution Data", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.registry import MODELS

from .logits import max_logit, msp
from .odin import perturb
from .samples import Samples, View, register_score

KINDS = ('cosine', 'inner', 'euclidean')
CONFIDENCES = dict(maximum=max_logit, softmax=msp)
EPSILONS = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)


@MODELS.register_module()
class DecomposedLinear(nn.Module):
    """Logits ``h(f) / g(f)``, (N, C) -> (N, K), in the parameters' precision.

    ``g = sigmoid(BN(v . f + c))``, (N, 1), in (0, 1), stands for how much
    the sample belongs to the training data. The numerators h are, by
    ``kind``: ``'cosine'`` of w_k and f in [-1, 1] (DeConf-C), ``'inner'``
    w_k . f + b_k (DeConf-I), ``'euclidean'`` -|f - w_k|^2 <= 0 (DeConf-E).
    Source: Sec. 3.1.

    The box head's classifier with ``cls_predictor_cfg=dict(
    type='mmood.DecomposedLinear')``; its last class is the background's. The
    paper has no weight decay on h: ``paramwise_cfg=dict(custom_keys=
    {'fc_cls.weight': dict(decay_mult=0.0)})``. A batch of fewer than two
    samples is normalized by the running statistics, in training too. Raises
    ValueError for an unknown ``kind``.
    """

    def __init__(
        self, in_features: int, out_features: int, kind: str = 'cosine'
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f'unknown kind {kind!r}; known are {KINDS}')
        self.kind = kind
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = None
        if kind == 'inner':
            self.bias = nn.Parameter(torch.empty(out_features))
        self.gate = nn.Linear(in_features, 1)
        self.norm = nn.BatchNorm1d(1)
        self.init_weights()

    def init_weights(self) -> None:
        """He's; MMEngine calls it after mmdet's own for ``fc_cls``.

        That one draws all weights with deviation 0.01, the norm's as well,
        and so makes g a constant.
        """
        nn.init.kaiming_normal_(self.weight, nonlinearity='relu')
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.gate.reset_parameters()
        self.norm.reset_parameters()

    def forward(self, features: Tensor) -> Tensor:
        with _full_precision(features):
            h = self.numerators(features)
            return h / self._denominator(features.to(h))

    def numerators(self, features: Tensor) -> Tensor:
        """h, (N, C) -> (N, K)."""
        with _full_precision(features):
            x, w = features.to(self.weight), self.weight
            if self.kind == 'cosine':
                return F.normalize(x, dim=1) @ F.normalize(w, dim=1).T
            if self.kind == 'inner':
                return F.linear(x, w, self.bias)
            squares = x.square().sum(1, keepdim=True) + w.square().sum(1)
            return 2 * x @ w.T - squares

    def _denominator(self, x: Tensor) -> Tensor:
        x, norm = self.gate(x), self.norm
        # A synchronized norm counts the samples of all ranks by itself.
        if len(x) < 2 and isinstance(norm, nn.BatchNorm1d):
            x = F.batch_norm(
                x,
                norm.running_mean,
                norm.running_var,
                norm.weight,
                norm.bias,
                eps=norm.eps,
            )
        else:
            x = norm(x)
        return x.sigmoid()


def _full_precision(x: Tensor) -> torch.autocast:
    return torch.autocast(x.device.type, enabled=False)


@register_score(
    'godin', reads=('inputs',), kinds=('softmax',), by_gradient=True
)
@torch.no_grad()
def generalized_odin(
    samples: Samples,
    epsilon: float = EPSILONS[0],
    confidence: str = 'maximum',
) -> Tensor:
    """``-max_k h_k(x')`` of boxes, (N, c, h, w) -> (N,), in the unit of h.

    x' is x moved by `perturb` to a smaller ``-max_k h_k``, h the numerators
    of a `DecomposedLinear` without the background's. Source: Sec. 3.1 (of
    its two scores, ``max_k h_k`` and g, the one that it recommends) and 3.2,
    on pooled RoI maps instead of images. ``confidence='softmax'`` takes
    ``1 - max_k softmax(h(x'))_k``, in [0, 1 - 1/K], instead: what OpenOOD's
    code does, and the paper does not. It sees how much the classes differ,
    not how near the nearest is. ``epsilon`` is absolute, by default the
    smallest of those the paper tries, ``EPSILONS``; `select_epsilon` picks
    one. Raises ValueError for another ``confidence``, and if the classifier
    has no numerators.
    """
    if confidence not in CONFIDENCES:
        raise ValueError(
            f'confidence must be one of {tuple(CONFIDENCES)}, got '
            f'{confidence!r}'
        )

    def score(x: Tensor) -> Tensor:
        return max_logit(_numerators(samples.view, x))

    moved = perturb(score, samples.inputs, epsilon)
    return CONFIDENCES[confidence](_numerators(samples.view, moved))


def _numerators(view: View, x: Tensor) -> Tensor:
    numerators = view(x).numerators
    if numerators is None:
        raise ValueError(
            'the classifier has no numerators: the score godin needs '
            "bbox_head=dict(cls_predictor_cfg=dict(type='mmood."
            "DecomposedLinear')), in training too"
        )
    return numerators


def select_epsilon(
    view: View,
    batches: Iterable[Tensor],
    candidates: Sequence[float] = EPSILONS,
) -> float:
    """The candidate with the largest sum of ``max_k h_k(x')`` on ID data.

    ``batches`` (N, c, h, w) are of a validation set; one process. Source:
    Sec. 3.2. Raises ValueError without any sample.
    """
    totals, count = [0.0] * len(candidates), 0
    for x in batches:
        count += len(x)
        samples = Samples(inputs=x, view=view)
        for i, epsilon in enumerate(candidates):
            score = generalized_odin(samples, epsilon)
            totals[i] -= score.double().sum().item()
    if not count:
        raise ValueError('no sample in batches: give RoIs of ID images')
    return candidates[totals.index(max(totals))]
