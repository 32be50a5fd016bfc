"""The scores that a test config asks for, of a detector's RoIs.

Shapes: n RoIs, K classes, C box features, (c, h, w) pooled maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from mmood.registry import MODELS
from mmood.scores import (
    FittedScore,
    Samples,
    View,
    check_score_name,
    get_score,
    score_names,
)

from .roi_tools import with_sizes

_TYPES = dict(
    odin='mmood.ODIN',
    mahalanobis='mmood.Mahalanobis',
    gram='mmood.GramMatrices',
    knn='mmood.KNN',
    godin='mmood.GeneralizedODIN',
)


class ScoreList(nn.Module):
    """Scores by name, all evaluated on the same RoIs.

    Args:
        configs: of each score a name, or ``dict(name=..., **arguments)``
            where ``type`` tells what it is if the name does not.
        num_classes, channels: K and C of the RoIs.
        auxiliary: trained part of the head that may bring ``scores()`` by
            name, and ``embed``, features (n, C) -> (n, ``channels``).
        trained: scores by name of other trained parts of the head.

    Raises ValueError for a name that is unknown, comes twice or cannot be
    one (`check_score_name`).
    """

    def __init__(
        self,
        configs: Sequence[str | dict],
        *,
        num_classes: int,
        channels: int,
        auxiliary: nn.Module | None = None,
        trained: Mapping[str, Callable] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(configs, (str, Mapping)) or not configs:
            raise ValueError(
                'scores must be a list with at least one name, got '
                f'{configs!r}'
            )
        self.num_classes, self.channels = num_classes, channels
        self.skips_unfitted = False
        self.count = 0  # boxes that the fit saw
        # In a tuple: it is not a module of this one.
        self._auxiliary = (auxiliary,)
        self._scores: dict[str, Callable] = {}
        self.arguments: dict[str, dict] = {}  # as configured, by name
        trained = {
            **(trained or {}),
            **getattr(auxiliary, 'scores', dict)(),
        }
        for config in configs:
            name, score = self._build(config, trained)
            if name in self._scores:
                raise ValueError(f'the score {name!r} is listed twice')
            check_score_name(name, self)
            self._scores[name] = score
            given = {} if isinstance(config, str) else dict(config)
            given.pop('name', None)
            self.arguments[name] = given
            if isinstance(score, nn.Module) and name not in trained:
                self.add_module(name, score)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all scores, in the list's order."""
        return tuple(self._scores)

    @property
    def auxiliary(self) -> nn.Module | None:
        return self._auxiliary[0]

    def _build(
        self, config: str | dict, trained: Mapping[str, Callable]
    ) -> tuple[str, Callable]:
        if isinstance(config, str):
            config = dict(name=config)
        config = dict(config)
        kind = config.get('type', '').rsplit('.', 1)[-1].lower()
        name = config.pop('name', kind)
        if 'type' not in config:
            if name in trained and not config:
                return name, trained[name]
            if name not in _TYPES:
                return name, self._logit_score(name, trained, config)
            config['type'] = _TYPES[name]
        return name, MODELS.build(self._sized(config))

    def _sized(self, config: dict) -> dict:
        """With the sizes that the score's constructor wants to know."""
        embedded = config.get('source') == 'embedding'
        if embedded and not hasattr(self.auxiliary, 'embed'):
            raise ValueError(
                f'{config} scores an embedding, and the RoI head has none: '
                'set auxiliary to an mmood.SIRENLoss'
            )
        channels = self.auxiliary.channels if embedded else self.channels
        return with_sizes(
            config, channels=channels, num_classes=self.num_classes
        )

    def _logit_score(
        self, name: str, trained: Mapping[str, Callable], arguments: dict
    ) -> Callable:
        known = sorted({*score_names(), *_TYPES, *trained})
        if name not in score_names():
            raise ValueError(f'unknown score {name!r}; known are {known}')
        score = get_score(name)
        if not arguments:
            return score
        return lambda logits: score(logits, **arguments)

    # ------------------------------------------------------------ scoring
    def forward(
        self, samples: Samples, inputs: Tensor, view: View
    ) -> dict[str, Tensor]:
        """Each score (n,) of the RoIs, by name, in the list's order.

        Raises RuntimeError for one that is not fitted, unless
        ``skips_unfitted``: then it is left out, and if all are, the energy
        takes their place.
        """
        scores = self._scores
        if self.skips_unfitted:
            out = [n for n, s in self.fitted.items() if not s.is_fitted]
            scores = {n: s for n, s in scores.items() if n not in out}
            scores = scores or dict(energy=get_score('energy'))
        return {
            name: score(*self._food(score, samples, inputs, view))
            for name, score in scores.items()
        }

    def _food(
        self, score: Callable, samples: Samples, inputs: Tensor, view: View
    ) -> tuple:
        source = getattr(score, 'source', 'logits')
        if source == 'inputs':
            return inputs, view
        if source == 'samples':
            return (samples,)
        if source == 'embedding':
            return (self.auxiliary.embed(samples.features),)
        return (getattr(samples, source),)

    # ------------------------------------------------------------ fitting
    @property
    def fitted(self) -> dict[str, FittedScore]:
        """Those that have to be fitted."""
        return {
            name: score
            for name, score in self._scores.items()
            if isinstance(score, FittedScore)
        }

    def reset(self) -> None:
        self.count = 0
        for score in self.fitted.values():
            score.reset()

    def update(
        self,
        samples: Samples,
        inputs: Tensor,
        view: View,
        labels: Tensor,
        keys: Tensor,
    ) -> None:
        """Fit on RoIs with known classes (n,) and identities (n,)."""
        self.count += len(labels)
        for score in self.fitted.values():
            food = self._food(score, samples, inputs, view)
            score.update(*food, labels=labels, keys=keys)

    def finish(self, classes: Sequence[str] | None) -> str:
        """Merge the ranks' parts, a collective call; what was done.

        Raises ValueError for those that cannot be fitted, after the others.
        """
        errors = []
        for name, score in self.fitted.items():
            try:
                score.finish(classes)
            except ValueError as error:
                errors.append(f'{name}: {error}')
        if errors:
            raise ValueError('; '.join(errors))
        return f'{", ".join(self.fitted)} fitted on {self.count} boxes a rank'

    def check_classes(self, classes: Sequence[str] | None) -> None:
        for score in self.fitted.values():
            score.check_classes(classes)
