"""Several scores as one: the mean of what each says in its own units.

Shapes: N samples, * any trailing shape (none for boxes, H W for maps), S
scores. Higher is more OOD.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from .fitted import FittedScore
from .samples import KINDS, Samples, register_score


@register_score('compound', reads=('values',), kinds=KINDS)
class CompoundScore(FittedScore):
    """``mean_s (x_s - m_s) / d_s`` of two or more scores, (N, *) -> (N, *).

    m_s and d_s are the mean and the deviation of score s over the ID samples
    of the fit; unbounded, in deviations. Source: Galesso et al., "Diffusion
    for Out-of-Distribution Detection on Road Scenes and Beyond" (DOoD), ECCV
    2024, Sec. 5.3, of the energy and the diffusion score.

    Buffers: ``mean`` and ``std`` (S,), float64, in the order of ``of``, and
    ``fitted_for``, the ``signature`` at the fit: a number that `ScoreSet`
    makes of the scores' arguments, which decide what their units are.

    Args:
        of: names of the scores, all in the same list of scores.

    Raises ValueError for fewer than two different names; `finish` for fewer
    than two samples.
    """

    mean: Tensor
    std: Tensor
    fitted_for: Tensor

    def __init__(self, of: Sequence[str]) -> None:
        super().__init__()
        if isinstance(of, str) or len(of) < 2 or len(set(of)) < len(of):
            raise ValueError(
                'a compound is of two or more different scores, got '
                f"of={of!r}: name them, as in of=['energy', 'knn']"
            )
        self.of = tuple(of)
        zeros = torch.zeros(len(self.of), dtype=torch.float64)
        self.register_buffer('mean', zeros.clone())
        self.register_buffer('std', zeros)
        self.signature = 0
        self.register_buffer('fitted_for', torch.tensor(0))

    def vectors(self, samples: Samples) -> Tensor:
        """The scores side by side, (N, S, *)."""
        return torch.stack([samples.values[name] for name in self.of], 1)

    def _start(self) -> None:
        self._sums = self.mean.new_zeros((3, len(self.of)))

    def _add(
        self, samples: Samples, labels: Tensor | None, keys: Tensor | None
    ) -> None:
        x = self.vectors(samples).transpose(0, 1).flatten(1).double()
        count = x.new_full((len(x),), x.shape[1])
        self._sums += torch.stack([count, x.sum(1), x.square().sum(1)])

    def _finish(self) -> None:
        all_reduce(self._sums)
        count, total, squares = self._sums
        if not (count > 1).all():
            raise ValueError(
                f'{int(count.min())} ID samples to fit the compound on, which '
                'needs two: check the annotations of the ID training images'
            )
        mean = total / count
        variance = squares / count - mean.square()
        variance = variance * count / (count - 1)
        self.fitted_for.fill_(self.signature)
        self.mean.copy_(mean)
        self.std.copy_(variance.clamp(min=0).sqrt().clamp(min=1e-12))

    def _score(self, samples: Samples) -> Tensor:
        if int(self.fitted_for) != self.signature:
            raise RuntimeError(
                f'the compound of {", ".join(self.of)} was fitted for other '
                'arguments of these scores: run tools/fit_scores.py with this '
                'config'
            )
        parts = []
        for name, mean, std in zip(self.of, self.mean, self.std):
            x = samples.values[name]
            parts.append((x - mean.to(x)) / std.to(x))
        return sum(parts) / len(parts)
