"""From the entry of a config to a score that can be called."""

from __future__ import annotations

import inspect
from functools import partial

from torch import Tensor

from mmood.registry import SCORES

from .samples import Samples, Score, ScoreConfig


def split_config(config: ScoreConfig) -> tuple[str, str, dict]:
    """Name, registered name and arguments of a score's config."""
    if isinstance(config, str):
        return config, config, {}
    arguments = dict(config)
    kind = arguments.pop('type', None) or arguments.get('name')
    if kind is None:
        raise ValueError(
            f'the score {config!r} has no type: give the name of a score'
        )
    return arguments.pop('name', kind), kind, arguments


def build_score(kind: str, arguments: dict, sizes: dict) -> Score:
    """The registered score with its arguments and the sizes it asks for.

    Raises ValueError for a name that is not registered, TypeError for
    arguments that the score does not have.
    """
    score = SCORES.get(kind) if isinstance(kind, str) else kind
    if score is None or not hasattr(score, 'reads'):
        raise ValueError(f'unknown score {kind!r}; known are {score_names()}')
    if not inspect.isclass(score):
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


def check_fits(name: str, score: Score, kind: str, num_classes: int) -> None:
    """Raises ValueError for logits that the score is not defined for."""
    kinds = getattr(score, 'func', score).kinds
    if kind not in kinds:
        raise ValueError(
            f'the score {name!r} is defined for {" and ".join(kinds)} logits, '
            f"and these are of {kind}: take 'max_logit' or a score of features"
        )
    is_constant = name in ('msp', 'entropy', 'odin')
    if kind == 'softmax' and num_classes == 1 and is_constant:
        raise ValueError(
            f'the score {name!r} is a softmax over one class, which says '
            "nothing: take 'energy' or 'max_logit'"
        )


def check_value(name: str, value: object, score: Score, of: Samples) -> None:
    """Raises ValueError unless a score has a value (N, *) of each sample."""
    parts = (of.logits, of.features)
    reads = getattr(score, 'func', score).reads
    like = [
        part.shape[:1] + part.shape[2:]
        for key, part in zip(('logits', 'features'), parts)
        if key in reads and part is not None
    ]
    shape = getattr(value, 'shape', type(value).__name__)
    if not isinstance(value, Tensor) or (like and shape != like[0]):
        wanted = f'of shape {tuple(like[0])}' if like else 'a tensor'
        raise ValueError(
            f'the score {name!r} must return one value of each sample, '
            f'{wanted}, got {shape}'
        )
