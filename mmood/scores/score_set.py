"""The scores that a config asks for, of a detector or a segmentor.

Shapes: N samples, K classes, C feature channels, * any trailing shape (none
for boxes, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from mmood.registry import SCORES

from .build import build_score, check_fits, check_value, split_config
from .compound import CompoundScore
from .fitted import IMAGES, FittedScore
from .samples import Samples, Score, ScoreConfig
from .thresholds import Thresholds, arguments_code, check_score_name

# On these arguments the value of a score does not depend, within rounding.
_WITHOUT_EFFECT = ('backend', 'chunk_size', 'dtype')
_MISSING = MappingProxyType(dict(classifier='the samples come without it'))


class ScoreSet(nn.Module):
    """Scores by name, all of the same samples, with a threshold each.

    Args:
        configs: of each score its name, or ``dict(type=..., **arguments)``
            with the registered name as ``type`` and, to have one twice,
            ``name``.
        num_classes: K.
        channels: C; None: there are no features.
        kind: of the logits, see `Samples`.
        losses: what the model learns besides, for scores that are trained.
        missing: why the samples come without some of their parts, by the
            parts' names; an empty reason: they have it.

    ``thresholds`` holds the value of each score above which a sample is
    OOD; what is OOD is decided by the ``first`` score. What a score wants to
    know of ``num_classes``, ``channels`` and ``losses`` it names as
    parameters of its class.

    Raises ValueError for a score that is unknown, comes twice, cannot be
    called so, does not fit the kind of logits or reads what is not there.
    """

    def __init__(
        self,
        configs: Sequence[ScoreConfig],
        *,
        num_classes: int,
        channels: int | None = None,
        kind: str = 'softmax',
        losses: Iterable[nn.Module] = (),
        missing: Mapping[str, str] = _MISSING,
    ) -> None:
        super().__init__()
        if not isinstance(configs, (list, tuple)) or not configs:
            raise ValueError(
                'scores must be a list with at least one name, got '
                f'{configs!r}'
            )
        self.kind, self.num_classes = kind, num_classes
        self._missing = dict(missing)
        self.skips_unfitted = False
        sizes = dict(num_classes=num_classes, channels=channels, losses=losses)
        self._scores: dict[str, Score] = {}
        self._arguments: dict[str, dict] = {}
        for config in configs:
            self._add(*split_config(config), sizes)
        self._check_compounds()
        self.thresholds = Thresholds(self.names, self._arguments)
        self.being_fitted: tuple[str, ...] = ()  # those of `start`
        self._count = 0

    def _add(self, name: str, kind: str, arguments: dict, sizes: dict) -> None:
        if name in self._scores:
            raise ValueError(f'the score {name!r} is listed twice')
        check_score_name(name, self)
        score = build_score(kind, arguments, sizes, self._missing)
        check_fits(kind, score, self.kind, self.num_classes, self._missing)
        self._scores[name] = score
        self._arguments[name] = {
            key: value
            for key, value in arguments.items()
            if key not in _WITHOUT_EFFECT
        }
        if isinstance(score, nn.Module):
            self.add_module(name, score)

    def _check_compounds(self) -> None:
        """Also gives compounds the signature of what they are made of."""
        for name, score in self._scores.items():
            if not isinstance(score, CompoundScore):
                continue
            for part in score.of:
                if isinstance(self._scores.get(part), CompoundScore):
                    raise ValueError(
                        f'the compound {name!r} is of the compound {part!r}: '
                        'name the scores that this one is made of'
                    )
                if part not in self._scores:
                    raise ValueError(
                        f'the compound {name!r} is of {part!r}, which is not '
                        f'in the list of scores {list(self.names)}: add it'
                    )
            parts = {part: self._arguments[part] for part in score.of}
            score.signature = arguments_code(parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all scores, in the list's order."""
        return tuple(self._scores)

    @property
    def first(self) -> str:
        """The score that decides what is OOD."""
        return self.names[0]

    def reads(self, name: str) -> tuple[str, ...]:
        """The parts of `Samples` that a score needs."""
        score: Any = self._scores[name]
        return getattr(score, 'func', score).reads

    def by_gradient(self, name: str) -> bool:
        """Whether a score takes a gradient."""
        score: Any = self._scores[name]
        return getattr(getattr(score, 'func', score), 'by_gradient', False)

    def needed_for(self, name: str) -> tuple[str, ...]:
        """A score and, of a compound, the scores that it is made of."""
        score: Any = self._scores[name]
        return (name, *getattr(score, 'of', ()))

    def forward(
        self, samples: Samples, names: Iterable[str] | None = None
    ) -> dict[str, Tensor]:
        """Scores (N, *) by name, in the list's order.

        Of ``names`` only those. Raises NotFittedError for a score that is not
        fitted, unless ``skips_unfitted``: then it is left out, and so are
        compounds of it; if nothing is left, the energy takes their place, or
        of masks the largest logit.
        """
        wanted = [n for n in self.names if names is None or n in set(names)]
        values = dict(samples.values)
        # Compounds come last: they read the values of the others.
        for name in sorted(wanted, key=self._reads_values):
            if self._is_skipped(name, values):
                continue
            score = self._scores[name]
            value = score(replace(samples, values=values))
            check_value(name, value, samples)
            values[name] = value
        found = {name: values[name] for name in wanted if name in values}
        if names is None and not found:
            name = 'max_logit' if self.kind == 'mask' else 'energy'
            return {name: SCORES.get(name)(replace(samples, kind=self.kind))}
        return found

    def _reads_values(self, name: str) -> bool:
        return 'values' in self.reads(name)

    def _is_skipped(self, name: str, values: dict[str, Tensor]) -> bool:
        score = self._scores[name]
        if not self.skips_unfitted or not isinstance(score, FittedScore):
            return False
        of = getattr(score, 'of', ())
        return not score.is_fitted or not set(of) <= set(values)

    @property
    def fitted(self) -> dict[str, FittedScore]:
        """Those that have to be fitted."""
        return {
            name: score
            for name, score in self._scores.items()
            if isinstance(score, FittedScore)
        }

    @property
    def needs_fit(self) -> bool:
        """Whether a score wants statistics of ID training data."""
        return bool(self.fitted)

    def stages(self) -> list[list[str]]:
        """What is fitted in one pass over the data, and what in the next.

        What is fitted on validation samples, or on synthetic outliers, has
        a pass of its own, and a compound of fitted scores waits for these.
        """
        fitted = self.fitted
        late = [
            name
            for name, score in fitted.items()
            if any(part in fitted for part in getattr(score, 'of', ()))
        ]
        of = {
            images: [n for n in fitted if fitted[n].fitted_on == images]
            for images in IMAGES
        }
        of['training'] = [n for n in of['training'] if n not in late]
        return [stage for stage in (*of.values(), late) if stage]

    @property
    def fitted_on(self) -> str:
        """What those being fitted want, see `FittedScore`."""
        return next((self.fitted[n].fitted_on for n in self.being_fitted), '')

    def start(self, names: Iterable[str]) -> None:
        """Fit these from the next `update` on."""
        self.being_fitted, self._count = tuple(names), 0
        for name in self.being_fitted:
            self.fitted[name].reset()

    @property
    def compounded(self) -> set[str]:
        """What the compounds being fitted are made of."""
        fitted = self.fitted
        parts = (getattr(fitted[n], 'of', ()) for n in self.being_fitted)
        return {part for of in parts for part in of}

    def with_values(self, samples: Samples) -> Samples:
        """The samples with what the compounds being fitted are made of."""
        values = self.forward(samples, self.compounded)
        return replace(samples, values=values)

    def update(
        self,
        samples: Samples,
        labels: Tensor | None = None,
        keys: Tensor | None = None,
        names: Iterable[str] | None = None,
    ) -> None:
        """Fit on samples with known classes (N, *) and identities (N, *).

        Takes part whoever reads nothing else than what the samples have; of
        ``names`` only those.
        """
        self._count += len(samples)
        for name in self.being_fitted if names is None else names:
            if all(samples.has(part) for part in self.reads(name)):
                self.fitted[name].update(samples, labels, keys)

    def finish(self, classes: Sequence[str] | None = None) -> str:
        """Merge the ranks' parts, a collective call; what was done.

        Raises ValueError for those that cannot be fitted, after the others.
        """
        errors = []
        for name in self.being_fitted:
            try:
                self.fitted[name].finish(classes)
            except ValueError as error:
                errors.append(f'{name}: {error}')
        if errors:
            raise ValueError('; '.join(errors))
        names = ', '.join(self.being_fitted)
        return f'{names} fitted on {self._count} samples a rank'

    def check_classes(self, classes: Sequence[str] | None) -> None:
        """Raises ValueError if a score was fitted for others than these."""
        for score in self.fitted.values():
            score.check_classes(classes)
