"""OOD losses of heads that classify priors or queries, not pooled boxes.

Shapes: B images, n priors or queries of each, R of all images that a loss
sees, K known classes, C features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.losses import BACKGROUND, IGNORE, Batch, ood_losses

from .adapter import BoxAdapter
from .roi_tools import misfit

NO_FLAGS = 'objects flagged OOD are for RoI heads'
_SHARE, _LEAST = 3, 16  # of background rows
# Of an image and places (n,) there: logits (n, K + extra), features (n, C).
RowsOf = Callable[[int, Tensor], tuple[Tensor, Tensor]]


class RowAdapter(BoxAdapter):
    """The OOD losses of a head without RoIs, before the head's class.

    ``_layers``, which are no parts of their own, make its logits.
    """

    _assigned: list[Tensor | None] | None = None
    _layers: tuple[nn.Module, ...]
    _misfit: str | None = None  # of a loaded classifier

    def loss(self, *args, **kwargs) -> dict[str, Tensor]:
        self._misfit = None
        return super().loss(*args, **kwargs)

    def predict(self, *args, **kwargs) -> list[InstanceData]:
        """Raises ValueError for a classifier that no checkpoint gave."""
        if self._misfit:
            raise ValueError(self._misfit)
        return super().predict(*args, **kwargs)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Remember a classifier that did not fit; see `predict`.

        Fine-tuning from a checkpoint of other classes is fine; predicting
        with the untrained layers that it leaves behind is not, and MMEngine
        only warns of it.
        """
        names = {id(p): name for name, p in self.named_parameters()}
        own = [one.weight for one in self._layers if id(one.weight) in names]
        found = [misfit(state_dict, prefix, names[id(w)], w) for w in own]
        self._misfit = next(filter(None, found), None)
        # The parents add to what they are given.
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @contextmanager
    def labels_kept(self) -> Iterator[list[Tensor | None]]:
        """List of what `_get_targets_single` assigns inside, (n,) a call."""
        self._assigned = []
        try:
            yield self._assigned
        finally:
            self._assigned = None

    def _get_targets_single(self, *args, **kwargs) -> tuple:
        targets = super()._get_targets_single(*args, **kwargs)
        if self._assigned is not None:
            labels = assigned_labels(targets, self.num_classes)
            self._assigned.append(labels)
        return targets

    def row_losses(
        self, labels: Sequence[Tensor | None], rows_of: RowsOf, **more: object
    ) -> dict[str, Tensor]:
        """Losses of the rows that count, with the labels of each image.

        ``more`` goes to the `Batch`. Raises ValueError for a head that does
        not assign its rows as MMDetection's heads do.
        """
        if not labels or any(one is None for one in labels):
            raise ValueError(
                f'{type(self).__name__} does not say what it assigns to the '
                'annotated objects, so OOD losses are not defined for it: '
                'leave losses out'
            )
        places = [counting_places(one) for one in labels]
        parts = [rows_of(i, at) for i, at in enumerate(places)]
        logits, features = (torch.cat(part) for part in zip(*parts))
        hub = MessageHub.get_current_instance()
        batch = Batch(
            logits=logits,
            labels=torch.cat([one[at] for one, at in zip(labels, places)]),
            features=features,
            num_classes=self.num_classes,
            kind=self.scores.kind,
            iteration=hub.get_info('iter', 0),
            max_iters=hub.get_info('max_iters'),
            **more,
        )
        return ood_losses(batch, self.losses, self.outliers)


def assigned_labels(
    targets: Sequence[object], num_classes: int
) -> Tensor | None:
    """Labels (n,) out of what ``_get_targets_single`` of a head returns.

    MMDetection's heads have among these the labels of all priors, with K for
    background, and behind them weights, 0 for those that do not count; or,
    as YOLOX, a mask of the foreground and its classes. None if they have
    neither.
    """
    mask = targets[0]
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        classes = targets[1]
        if classes.dim() != 2 or classes.shape[1] != num_classes:
            return None
        labels = torch.full_like(mask, BACKGROUND, dtype=torch.long)
        labels[mask] = classes.argmax(1)
        return labels
    rows = [p for p in targets if isinstance(p, Tensor) and p.dim() == 1]
    if not rows or rows[0].is_floating_point():
        return None
    labels = torch.where(rows[0] < num_classes, rows[0], BACKGROUND)
    weights = rows[1] if len(rows) > 1 else labels
    if weights.is_floating_point() and len(weights) == len(labels):
        labels = labels.masked_fill(weights == 0, IGNORE)
    return labels


def counting_places(labels: Tensor) -> Tensor:
    """Places of all known rows and of some of the background, at random.

    Three of the background for each known one, at least 16.
    """
    known = (labels >= 0).nonzero()[:, 0]
    background = (labels == BACKGROUND).nonzero()[:, 0]
    chosen = torch.randperm(len(background), device=labels.device)
    count = max(_LEAST, _SHARE * len(known))
    return torch.cat([known, background[chosen[:count]]])
