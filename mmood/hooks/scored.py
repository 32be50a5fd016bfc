"""Which part of a model scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from torch import Tensor, nn

from mmood.scores import Samples, ScoreSet


class Scored(Protocol):
    """The part of a model that scores: an adapter of a head.

    While ``keeps_samples`` is set, predictions carry what scores are fitted
    on; ``fit_samples`` makes `Samples`, labels and keys of such a prediction.
    """

    scores: ScoreSet
    keeps_samples: bool

    def fit_samples(
        self, prediction: Any
    ) -> Iterable[tuple[Samples, Tensor | None, Tensor | None]]: ...


def scored(model: nn.Module) -> Scored | None:
    """The part of a model that scores, or None."""
    module: Any
    for module in model.modules():
        if isinstance(getattr(module, 'scores', None), ScoreSet):
            return module
    return None


def fittable(model: nn.Module) -> Scored | None:
    """That part, if one of its scores wants a fit."""
    part = scored(model)
    return part if part is not None and part.scores.needs_fit else None
