"""Checks of what a submission is called and of."""

from __future__ import annotations

import re

from mmengine.config import Config

from mmood.scores.build import split_config

SUBMISSIONS = ('smiyc', 'fishyscapes')
_METHOD = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')


def check_method(name: str | None) -> str:
    """The name; it is that of a folder, and stands in lists with commas.

    Raises ValueError for anything but letters, digits, ``_``, ``-`` and
    ``.``, or a sign in front.
    """
    if name is None or not _METHOD.fullmatch(name):
        raise ValueError(
            'the name of a method has letters, digits, "_", "-" and "." and '
            f'begins with one of the first two, got {name!r}: give --method '
            'such a name'
        )
    return name


def check_score(cfg: Config, name: str | None) -> str:
    """The score of a config by its name; None: the first.

    Raises ValueError if the model does not predict it.
    """
    configs = cfg.model.get('scores') or ()
    names = [split_config(config)[0] for config in configs]
    if not names:
        raise ValueError(
            f'the model {cfg.model.get("type")!r} predicts no scores: set '
            "model.type='mmood.OODEncoderDecoder' and model.scores"
        )
    name = names[0] if name is None else name
    if name not in names:
        raise ValueError(
            f'the score {name!r} is not predicted: it must be one of {names}'
        )
    return name
