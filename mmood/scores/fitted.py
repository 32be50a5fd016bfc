"""What scores that are fitted on ID training data have in common.

Shapes: N samples, K classes, C channels, * any trailing shape (none for
RoIs, H W for maps). Higher is more OOD.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from torch import Tensor, nn

from .samples import Samples

# What scores are fitted on, in the order of the passes.
IMAGES = 'training', 'validation', 'outliers'


class NotFittedError(RuntimeError):
    """A score is asked for that has to be fitted first."""


class FittedScore(nn.Module):
    """A score with statistics of ID training data, fitted in one pass.

    ``reset()``, then ``update`` for each batch, then ``finish``: memory does
    not grow with the data, and ranks, each with its part, end with the same
    buffers. A subclass implements `_start`, `_add`, `_finish` and `_score`.
    Buffers whose size follows the data are named in ``resizable``, with the
    dimension that is 0 until the fit; loading a checkpoint resizes them.
    ``fitted_on`` ID ``'training'`` samples; ``'validation'``: on labelled ID
    validation samples, those that are classified wrongly too;
    ``'outliers'``: on ID validation images with synthetic outliers in them.

    Buffers: ``is_fitted``, and ``class_code`` of the class names it was
    fitted with, in their order.
    """

    # Of `register_score`.
    reads: tuple[str, ...]
    kinds: tuple[str, ...]
    is_fitted: Tensor
    class_code: Tensor
    resizable: Mapping[str, int] = MappingProxyType({})
    fitted_on = 'training'

    def __init__(self) -> None:
        super().__init__()
        self._is_open, self._bad = False, 0
        self.register_buffer('is_fitted', torch.tensor(False))
        self.register_buffer('class_code', torch.tensor(0))

    @property
    def exact_buffers(self) -> tuple[str, ...]:
        return tuple(self._buffers)

    def vectors(self, samples: Samples) -> Tensor:
        """What the statistics are of, (N, C, *)."""
        return samples.features

    def forget(self) -> None:
        """Be unfitted, with buffers of the size that a new score has."""
        self.is_fitted.fill_(False)
        for name, dim in self.resizable.items():
            buffer: Tensor = getattr(self, name)
            setattr(self, name, buffer.narrow(dim, 0, 0).clone())

    def reset(self) -> None:
        """Forget all samples; the score is unfitted until `finish`."""
        self.forget()
        self._start()
        self._is_open, self._bad = True, 0

    @torch.no_grad()
    def update(
        self,
        samples: Samples,
        labels: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> None:
        """Add samples with their classes (N, *) and identities (N, *).

        Raises ValueError for values that are not finite, on several ranks
        in `finish`; RuntimeError without a `reset` before.
        """
        self._check_open()
        vectors = self.vectors(samples)
        if not torch.isfinite(vectors).all():
            bad = ~torch.isfinite(vectors).flatten(1).all(1)
            self._bad += int(bad.sum())
            if get_world_size() == 1:
                self._check_finite()
            return  # other ranks wait for this one in `finish`
        self._add(samples, labels, keys)

    @torch.no_grad()
    def finish(self, classes: Sequence[str] | None = None) -> None:
        """Merge the ranks' parts and store the result; a collective call.

        Raises ValueError if there are too few samples, RuntimeError without
        a `reset` before.
        """
        self._check_open()
        self._check_finite()
        self._finish()
        self._is_open = False
        self.class_code.fill_(class_code(classes))
        self.is_fitted.fill_(True)

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError(
                f'{type(self).__name__} is not being fitted: call reset() '
                'before update() and finish()'
            )

    def _check_finite(self) -> None:
        bad = torch.tensor(self._bad)
        all_reduce(bad)
        if bad:
            raise ValueError(
                f'{type(self).__name__} got {int(bad)} samples with nan or '
                f'infinite {self.reads[0]}: the checkpoint has diverged, take '
                'one from before'
            )

    def _check_any(self, count: Tensor | int) -> None:
        """Raises ValueError if the fit got no sample."""
        if not count:
            raise ValueError(
                f'no sample to fit {type(self).__name__} on: check the '
                'annotations of the ID training images, and that the detector '
                'finds objects'
            )

    def check_classes(self, classes: Sequence[str] | None) -> None:
        """Raises ValueError if it was fitted for others, or another order."""
        code, own = class_code(classes), int(self.class_code)
        if self.is_fitted and code and own and code != own:
            raise ValueError(
                f'{type(self).__name__} was fitted with other classes, or '
                f'in another order, than {tuple(classes or ())}: run '
                'tools/fit_scores.py with this config'
            )

    def forward(self, samples: Samples) -> Tensor:
        """A value (N, *) of each. Raises NotFittedError before a fit."""
        if not self.is_fitted:
            raise NotFittedError(
                f'the score {type(self).__name__} is not fitted: run '
                'tools/fit_scores.py CONFIG CHECKPOINT, or train with '
                'mmood.FitScoresHook in custom_hooks'
            )
        return self._score(samples)

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        *args,
    ) -> None:
        """Without a fit in it, or one of other arguments: unfitted.

        Nothing of the model is missing then.
        """
        for name, dim in self.resizable.items():
            value, own = state_dict.get(prefix + name), getattr(self, name)
            if value is None or value.dim() != own.dim():
                continue
            shape = [*own.shape[:dim], value.shape[dim], *own.shape[dim + 1 :]]
            setattr(self, name, own.new_empty(shape))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, [], *args
        )
        if any(
            value is None or value.shape != own.shape
            for name, own in self.named_buffers(recurse=False)
            for value in [state_dict.get(prefix + name)]
        ):
            self.forget()

    def _start(self) -> None:
        raise NotImplementedError

    def _add(
        self, samples: Samples, labels: Tensor | Any, keys: Tensor | None
    ) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _score(self, samples: Samples) -> Tensor:
        raise NotImplementedError


def class_code(classes: Sequence[str] | None) -> int:
    """A number for the names in their order; 0 for None."""
    return zlib.crc32('\n'.join(classes).encode()) if classes else 0


def in_parts(x: Tensor, size: int) -> Sequence[Tensor]:
    """Rows (N, *), ``size`` at a time, for memory's sake.

    All at once while a graph is exported: it would keep the number of parts.
    """
    asked = getattr(getattr(torch, 'compiler', None), 'is_exporting', None)
    is_exported = asked is not None and asked()
    return [x] if is_exported else x.split(size)


def labelled_rows(
    x: Tensor,
    labels: Tensor,
    channels: int,
    num_classes: int,
    part: str = 'features',
) -> tuple[Tensor, Tensor]:
    """(N, C, *) and labels (N, *) -> (N *, C) and (N *,), on x's device.

    Raises ValueError for another number of channels or labels, and for a
    label that is no class; ``part``: what x is called then.
    """
    check_channels(x, channels, part)
    if labels.shape != x.shape[:1] + x.shape[2:]:
        raise ValueError(
            f'{part} of shape {tuple(x.shape)} need one label each, got '
            f'labels of shape {tuple(labels.shape)}'
        )
    if labels.numel() and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f'labels must be in 0..{num_classes - 1}, got {int(labels.min())}'
            f'..{int(labels.max())}: leave background and ignored samples '
            'out, or set num_classes'
        )
    return rows(x), labels.flatten().to(x.device, torch.int64)


def check_channels(x: Tensor, channels: int, part: str = 'features') -> None:
    """Raises ValueError unless x, the features or logits, is (N, C, *)."""
    if x.dim() < 2 or x.shape[1] != channels:
        size = 'num_classes' if part == 'logits' else 'channels'
        raise ValueError(
            f'{part} must be (N, {channels}, *), got {tuple(x.shape)}: set '
            f'{size} to the width of the {part}'
        )


def warn_unseen(
    score: FittedScore,
    count: Tensor,
    classes: Sequence[str] | None,
    effect: str,
) -> None:
    """One warning, on the main rank, if a class has no sample in the fit.

    ``count`` (K,) samples per class; ``effect``: what happens to those
    without.
    """
    unseen = (count == 0).nonzero().flatten().tolist()
    if not unseen or not is_main_process():
        return
    names = [f'{c} ({classes[c]})' if classes else str(c) for c in unseen]
    warnings.warn(
        f'{type(score).__name__} was fitted without any sample of class '
        f'{", ".join(names)}: {effect}',
        stacklevel=3,
    )


def rows(x: Tensor) -> Tensor:
    """(N, C, *) -> (N *, C), for samples that are vectors at dim 1."""
    return x.movedim(1, -1).flatten(0, -2)


def unrows(values: Tensor, like: Tensor) -> Tensor:
    """(N *,) -> (N, *), the inverse of `rows` for one value per sample."""
    return values.reshape(like.shape[:1] + like.shape[2:])
