"""Whether a training shows pictures again that a cache keeps."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmood.backbones import FrozenBackbone
from mmood.backbones.store import picture_key
from mmood.registry import HOOKS

from .after_training import unwrapped


@HOOKS.register_module()
class CheckCacheHook(Hook):
    """Keep pictures out of a frozen backbone's cache that never come again.

    Before a training its first picture is made ``draws`` times. If more than
    ``limit`` of those of the second half are not in the first, as with random
    crops, blur or colours, a warning says so, and the training reads the
    cache without filling it. Fits, validations and tests fill it as ever.
    """

    priority = 'VERY_HIGH'  # before the fit in a validation

    def __init__(self, draws: int = 32, limit: float = 0.2) -> None:
        self.draws, self.limit = draws, limit
        self._spared: Sequence[FrozenBackbone] = ()

    def before_train(self, runner: Runner) -> None:
        self._spared = ()
        parts = unwrapped(runner).modules()
        caching = [
            part
            for part in parts
            if isinstance(part, FrozenBackbone) and part.has_cache
        ]
        if not caching:
            return
        dataset = runner.train_dataloader.dataset
        with same_randomness():
            share = share_of_new(dataset, self.draws)
        if share > self.limit:
            self._spared = caching
            runner.logger.warning(
                f'about {share:.0%} of the training pictures are drawn anew '
                'each time, so that a cache of the backbone never has them: '
                'it is read and not filled in this training. Set the cache '
                'to None, or take transforms that make few pictures of one, '
                'such as flips and a few scales'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        self._fill(False)

    def before_val(self, runner: Runner) -> None:
        self._fill(True)

    def after_val(self, runner: Runner) -> None:
        self._fill(False)

    def after_train(self, runner: Runner) -> None:
        self._fill(True)

    def _fill(self, value: bool) -> None:
        for part in self._spared:
            part.fills_cache = value


def share_of_new(dataset: Sequence[dict], draws: int) -> float:
    """Share of a picture's later draws that are not among the earlier ones.

    0 for a set of vectors or without a picture.
    """
    keys = []
    for _ in range(draws if len(dataset) else 0):
        picture = dataset[0].get('inputs')
        if not isinstance(picture, Tensor) or picture.dim() != 3:
            return 0.0
        keys.append(picture_key(picture))
    earlier, later = keys[: draws // 2], keys[draws // 2 :]
    return sum(key not in earlier for key in later) / max(len(later), 1)


@contextmanager
def same_randomness() -> Iterator[None]:
    """Random numbers after it are those without it."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(numpy)
