"""Scores of samples that are changed first.

Shapes: N samples, C channels, K classes, * any trailing shape (none for
boxes, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from mmood.registry import SCORES

from .build import build_score, split_config
from .classifier import LinearClassifier
from .fitted import FittedScore
from .samples import Samples, ScoreConfig


class DerivedScore:
    """A score ``inner`` of `changed` samples, which a subclass makes.

    ``gives`` are the parts that they have. The kinds of logits are those
    that the inner score is defined for.
    """

    kinds: tuple[str, ...]
    gives: tuple[str, ...] = ('features', 'logits', 'classifier')

    def _derive(self, score: ScoreConfig, **sizes: int) -> None:
        """Build the inner score of its name or config.

        Raises ValueError for one that reads what changed samples do not
        have, or has to be fitted on them.
        """
        _, name, arguments = split_config(score)
        reads = getattr(SCORES.get(str(name)), 'reads', ())
        if not set(reads) <= set(self.gives):
            raise ValueError(
                f'{type(self).__name__} changes {" and ".join(self.gives)}, '
                f'and the score {name!r} reads {" and ".join(reads)}: take '
                "one of the logits, such as score='energy'"
            )
        inner = build_score(name, arguments, sizes)
        if isinstance(inner, FittedScore) and not self._may_hold(inner):
            raise ValueError(
                f'the score {name!r} has to be fitted, which it cannot be '
                f'within {type(self).__name__}: put it around that, or take '
                "one without a fit, such as score='energy'"
            )
        self.inner_name, self.inner = name, inner
        scored: Any = getattr(inner, 'func', inner)
        self.kinds = tuple(k for k in scored.kinds if k in self.kinds)

    def _may_hold(self, inner: FittedScore) -> bool:
        return False

    def changed(self, samples: Samples) -> Samples:
        """What the inner score sees."""
        raise NotImplementedError

    def _score(self, samples: Samples) -> Tensor:
        return self.inner(self.changed(samples))


class FittedDerived(DerivedScore, FittedScore):
    """One that is fitted itself, on the samples as they come.

    So is an inner one of this kind, in the same pass.
    """

    def _may_hold(self, inner: FittedScore) -> bool:
        is_one = isinstance(inner, FittedDerived)
        return is_one and inner.fitted_on == 'training'

    def _fitted_inner(self) -> list[FittedScore]:
        return [self.inner] if isinstance(self.inner, FittedScore) else []

    def forget(self) -> None:
        super().forget()
        for inner in self._fitted_inner():
            inner.forget()

    def reset(self) -> None:
        super().reset()
        for inner in self._fitted_inner():
            inner.reset()

    def update(
        self,
        samples: Samples,
        labels: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> None:
        super().update(samples, labels, keys)
        for inner in self._fitted_inner():
            inner.update(samples, labels, keys)

    def finish(self, classes: Sequence[str] | None = None) -> None:
        super().finish(classes)
        for inner in self._fitted_inner():
            inner.finish(classes)


def with_features(samples: Samples, features: Tensor) -> Samples:
    """The samples with these features (N, C, *) and logits made of them."""
    logits = samples.classifier(features)
    return replace(samples, features=features, logits=logits)


def with_classifier(samples: Samples, classifier: LinearClassifier) -> Samples:
    """The samples with this last layer and the logits that it makes."""
    logits = classifier(samples.features)
    return replace(samples, classifier=classifier, logits=logits)


def check_percentile(percentile: float) -> float:
    """``percentile``; ValueError unless it is in [0, 100)."""
    if not 0 <= percentile < 100:
        raise ValueError(
            f'percentile must be in [0, 100), got {percentile}: 90 is the '
            'share of 0.9'
        )
    return percentile
