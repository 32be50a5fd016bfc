"""What a score may see, and how a score gets its name.

Shapes: N samples, K known classes, C feature channels, * any trailing shape
(none for boxes, H W for maps). Higher scores are more OOD.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Union

import torch
from torch import Tensor

from mmood.registry import SCORES

from .classifier import LinearClassifier
from .queries import MaskQueries

KINDS = ('softmax', 'sigmoid', 'mask')
PARTS = ('logits', 'features', 'inputs', 'values', 'classifier', 'queries')
# What may be absent, hence None. Who reads a part says so when it is built,
# where it is checked, and need not ask again: mypy's `X | Any` says that.
Part = Union[Tensor, Any]


@dataclass
class Samples:
    """What is known of N samples: rows (N, .) or maps (N, ., H, W).

    logits: (N, K, *), of the known classes alone.
    features: (N, C, *), what the classifier gets.
    numerators: (N, K, *), of a `DecomposedLinear`.
    kind: what the logits are of: ``'softmax'``, one class of K; ``'sigmoid'``,
        each class for itself; ``'mask'``, sums over masks.
    inputs: (N, c, h, w), what ``view`` takes: pooled maps, or images.
    view: makes the samples of other inputs.
    keys: of maps, which image each one is of. It seeds random numbers.
    classifier: what makes the logits of the features, of all samples alike.
    queries: of maps of kind ``'mask'``, the masks that they are sums of.
    values: other scores (N, *) of the same samples, by name.
    """

    logits: Part = None
    features: Part = None
    numerators: Part = None
    kind: str = 'softmax'
    inputs: Part = None
    view: View | Any = None
    keys: Sequence[Hashable] | None = None
    classifier: LinearClassifier | Any = None
    queries: MaskQueries | Any = None
    values: Mapping[str, Tensor] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __len__(self) -> int:
        if self.queries is not None:
            return len(self.queries)
        return len(
            next(iter((*self._tensors().values(), *self.values.values())))
        )

    def __getitem__(self, index: Tensor | slice) -> Samples:
        """Some of the samples, by a mask, places or a slice."""
        parts: dict[str, Any] = {
            name: part[index] for name, part in self._tensors().items()
        }
        if self.queries is not None:
            parts['queries'] = self.queries[index]
        values = {name: value[index] for name, value in self.values.items()}
        return replace(self, **parts, values=values)

    @classmethod
    def cat(cls, first: Samples, second: Samples) -> Samples:
        """Those of both, with the parts that both have."""
        ours, theirs = first._tensors(), second._tensors()
        parts: dict[str, Any] = {
            name: torch.cat([ours[name], theirs[name]])
            for name in ours
            if name in theirs
        }
        return cls(
            **parts,
            kind=first.kind,
            view=first.view,
            classifier=first.classifier,
        )

    def has(self, part: str) -> bool:
        """Whether the part of this name is there."""
        value = getattr(self, part)
        return bool(value) if part == 'values' else value is not None

    def _tensors(self) -> dict[str, Tensor]:
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {k: v for k, v in parts.items() if isinstance(v, Tensor)}


View = Callable[[Tensor], Samples]
Score = Callable[[Samples], Tensor]
ScoreConfig = Union[str, Mapping]


def register_score(
    name: str,
    *,
    reads: Sequence[str] = ('logits',),
    kinds: Sequence[str] = ('softmax', 'sigmoid'),
    by_gradient: bool = False,
) -> Callable:
    """Decorator: make a function or module known as a score of this name.

    A function takes `Samples` and arguments of the config, and returns a
    value (N, *) of each sample; a class makes such a function of the
    arguments, see `ScoreSet`. The name is that of configs, tables and
    metrics. ::

        @register_score('margin')
        def margin(samples: Samples) -> Tensor:
            top = samples.logits.topk(2, dim=1).values
            return top[:, 1] - top[:, 0]

    Args:
        reads: the parts of `Samples` that the score needs; ``'classifier'``
            only beside ``'features'``, which are then what it gets.
        kinds: the kinds of logits that it is defined for.
        by_gradient: whether it takes a gradient, which no ONNX graph does.

    Raises ValueError for parts or kinds that do not exist or do not go
    together, KeyError for a name that is taken.
    """
    for given, known in ((reads, PARTS), (kinds, KINDS)):
        if not set(given) <= set(known) or isinstance(given, str):
            raise ValueError(
                f'the score {name!r} names {given!r}; known are {known}, in '
                'a list'
            )

    if 'classifier' in reads and 'features' not in reads:
        raise ValueError(
            f'the score {name!r} reads the classifier without features: name '
            'both'
        )

    def register(score: Any) -> Any:
        score.reads, score.kinds = tuple(reads), tuple(kinds)
        score.by_gradient = by_gradient
        SCORES.register_module(name=name, module=score)
        return score

    return register
