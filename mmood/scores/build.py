"""From the entry of a config to a score that can be called."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import Tensor

from mmood.registry import SCORES

from .samples import Samples, Score, ScoreConfig

_CALLED = dict(classifier='the last linear layer of the model')
_MASKS = ('mask',)


def split_config(config: ScoreConfig) -> tuple[str, str, dict]:
    """Name, registered name and arguments of a score's config."""
    if isinstance(config, str):
        return config, config, {}
    if not isinstance(config, Mapping):
        raise ValueError(
            f'a score is a name or a dict with its type, got {config!r}'
        )
    arguments = dict(config)
    kind = arguments.pop('type', None) or arguments.get('name')
    if kind is None:
        raise ValueError(
            f'the score {config!r} has no type: give the name of a score'
        )
    return arguments.pop('name', kind), kind, arguments


def build_score(
    kind: str,
    arguments: dict,
    sizes: dict,
    missing: Mapping[str, str] = MappingProxyType({}),
) -> Score:
    """The registered score with its arguments and the sizes it asks for.

    Raises ValueError for a name that is not registered and for one that reads
    what is ``missing``, TypeError for arguments that the score does not have.
    """
    score: Any = SCORES.get(kind) if isinstance(kind, str) else kind
    if score is None or not hasattr(score, 'reads'):
        raise ValueError(f'unknown score {kind!r}; known are {score_names()}')
    check_reads(kind, score.reads, missing)
    is_class = inspect.isclass(score)
    if not is_class:
        inspect.signature(score).bind(Samples(), **arguments)
        return partial(score, **arguments)
    asked = inspect.signature(score).parameters
    known = {key: value for key, value in sizes.items() if key in asked}
    if known.get('channels', 0) is None and 'channels' not in arguments:
        raise ValueError(
            f'the score {kind!r} reads features, whose number of channels is '
            'not known: give it channels'
        )
    return score(**{**known, **arguments})


def score_names() -> list[str]:
    """All registered scores."""
    SCORES.import_from_location()
    return sorted(SCORES.module_dict)


def check_reads(
    name: str, reads: Iterable[str], missing: Mapping[str, str]
) -> None:
    """Raises ValueError, with the reason, for a part that is missing."""
    for part in reads:
        if missing.get(part):
            called = _CALLED.get(part, part)
            raise ValueError(
                f'the score {name!r} reads {called}: {missing[part]}'
            )


def check_fits(
    name: str,
    score: Score,
    kind: str,
    num_classes: int,
    missing: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raises ValueError for a model that the score is not defined for.

    With logits of another kind, or samples without a part that the score
    reads, for the reason that stands in ``missing`` under the part's name.
    """
    own: Any = getattr(score, 'func', score)
    check_reads(name, own.reads, missing)
    kinds = own.kinds
    if kind not in kinds:
        heads = ' (Mask2FormerHead, MaskFormerHead)' if kinds == _MASKS else ''
        raise ValueError(
            f'the score {name!r} is defined for {" and ".join(kinds)} logits'
            f'{heads}, and these are of {kind}: '
            "take 'max_logit' or a score of features"
        )
    constant = ('msp', 'entropy', 'odin', 'gen', 'gradnorm', 'kl_matching')
    is_constant = name in constant
    if kind != 'sigmoid' and num_classes == 1 and is_constant:
        raise ValueError(
            f'the score {name!r} is a softmax over one class, which says '
            "nothing: take 'energy' or 'max_logit'"
        )
    if hasattr(own, 'inner'):
        check_fits(own.inner_name, own.inner, kind, num_classes)


def check_value(name: str, value: Any, samples: Samples) -> None:
    """Raises ValueError for what is no number of each sample."""
    rows = (len(samples),)
    parts = [x for x in (samples.logits, samples.features) if x is not None]
    # A list, as sizes that are symbols while a graph is traced have no hash.
    shapes = [(*x.shape[:1], *x.shape[2:]) for x in parts]
    if samples.queries is not None:
        shapes.append((*rows, *samples.queries.size))
    shapes = shapes or [rows]
    x = samples.inputs  # maps of their own size, or of rows
    if x is not None and not (parts and rows in shapes):
        shapes.append((*x.shape[:1], *x.shape[2:]))
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    if not is_float or tuple(value.shape) not in shapes:
        found = tuple(value.shape) if is_float else type(value).__name__
        raise ValueError(
            f'the score {name!r} gives {found} of {len(samples)} samples: '
            f'return a tensor of floats, {" or ".join(map(str, set(shapes)))}'
        )
