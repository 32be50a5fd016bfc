"""OOD losses of heads that classify priors or queries, not pooled boxes.

Shapes: B images, n priors or queries of each, R of all images that a loss
sees, K known classes, C features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING

import torch
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.losses import BACKGROUND, OUTLIER, Batch, ood_losses
from mmood.scores import Samples

from .adapter import BoxAdapter
from .flags import FlagAssigner, is_taught, without_negatives
from .parents import RowHead
from .roi_tools import misfit
from .targets import assigned_labels, left_out

_SHARE, _LEAST = 3, 16  # of background rows
# Of an image and places (n,) there: logits (n, K + extra), features (n, C).
RowsOf = Callable[[int, Tensor], tuple[Tensor, Tensor]]


class RowAdapter(BoxAdapter, RowHead):
    """The OOD losses of a head without RoIs, before the head's class.

    ``_layers``, which are no parts of their own, make its logits. Objects that
    are flagged OOD take no part in the head's own losses, see
    `mmood.det.models.flags`; the rows that are assigned to them join the
    outliers. A head that learns from them all the same is refused in the
    first step that has any.
    """

    _assigned: list[Tensor | None] | None = None
    _flags: FlagAssigner | None = None
    _leaves_out = False  # flagged rows, as has been seen
    _misfit: str | None = None  # of a loaded classifier

    if TYPE_CHECKING:

        @property
        def _layers(self) -> tuple[nn.Linear, ...] | tuple[nn.Conv2d, ...]: ...

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
    def targets_kept(self, flags: bool) -> Iterator[list[Tensor | None]]:
        """List of what `_get_targets_single` assigns inside, (n,) a call.

        With ``flags`` some objects are flagged OOD, and ignored.
        """
        self._assigned = []
        assigner = getattr(self, 'assigner', None)
        try:
            if not flags:
                yield self._assigned
                return
            self._flags = FlagAssigner(assigner, self.num_known)
            if assigner is not None:
                self.assigner = self._flags
            objectness = getattr(self, 'loss_obj', None)
            with without_negatives(self.loss_cls, objectness):
                yield self._assigned
        finally:
            self._assigned = self._flags = None
            if assigner is not None:
                self.assigner = assigner

    def _get_targets_single(self, *args, **kwargs) -> tuple:
        if self._flags is not None:
            self._flags.flagged = None
        targets = super()._get_targets_single(*args, **kwargs)
        if self._assigned is not None:
            labels = assigned_labels(targets, self.num_classes)
            if labels is not None and self._flags is not None:
                parent = super()._get_targets_single
                call = signature(parent).bind(*args, **kwargs).arguments
                flagged = self._flags.flagged
                labels = self._without_flagged(targets, labels, flagged, call)
            self._assigned.append(labels)
        return targets

    def _without_flagged(
        self,
        targets: tuple,
        labels: Tensor,
        flagged: Tensor | None,
        call: Mapping,
    ) -> Tensor | None:
        """Labels (n,) with `OUTLIER`; None if the targets cannot say so.

        ``call`` are the arguments that the targets were made of, by name.
        """
        if flagged is None:
            return labels
        if len(flagged) < len(labels):  # the assigner saw those inside
            if 'flat_anchors' not in call:
                return None
            inside = anchor_inside_flags(
                call['flat_anchors'],
                call['valid_flags'],
                call['img_meta']['img_shape'][:2],
                self.train_cfg['allowed_border'],
            )
            flagged = torch.zeros_like(inside).masked_scatter(inside, flagged)
        return left_out(targets, labels, flagged)

    def with_row_losses(
        self,
        losses: dict[str, Tensor],
        labels: Sequence[Tensor | None],
        rows_of: RowsOf,
        outputs: Sequence[Tensor],
        **more: object,
    ) -> dict[str, Tensor]:
        """The head's losses and those of the rows that count.

        ``labels`` are those of each image, ``outputs`` the logits of all that
        the head classifies; ``more`` goes to the `Batch`. Raises ValueError
        for a head that does not assign its rows as MMDetection's heads do,
        and for one that learns from rows that are flagged.
        """
        known = [one for one in labels if one is not None]
        if not outputs or not labels or len(known) < len(labels):
            raise ValueError(
                f'{type(self).__name__} does not say what it assigns to the '
                'annotated objects, so OOD losses are not defined for it, nor '
                'are objects flagged OOD: leave both out'
            )

        at = [(one == OUTLIER).nonzero()[:, 0] for one in known]
        flagged = self.samples_at(at, rows_of) if any(map(len, at)) else None
        if flagged is not None and not self._leaves_out:
            self._check_left_out(losses, flagged.logits, outputs)
        if not self.losses:
            return losses
        places = [counting_places(one) for one in known]
        logits, features = _rows_at(places, rows_of)
        hub = MessageHub.get_current_instance()
        batch = Batch(
            logits=logits,
            labels=self.batch_labels(
                torch.cat([one[at] for one, at in zip(known, places)])
            ),
            features=features,
            num_classes=self.num_known,
            kind=self.scores.kind,
            flagged=flagged,
            iteration=hub.get_info('iter', 0),
            max_iters=hub.get_info('max_iters'),
            **more,
        )
        return {**losses, **ood_losses(batch, self.losses, self.outliers)}

    def batch_labels(self, labels: Tensor) -> Tensor:
        """Labels of a `Batch`: what is taken for unknown is an `OUTLIER`."""
        return labels.masked_fill(labels == self.num_known, OUTLIER)

    def samples_at(self, places: Sequence[Tensor], rows_of: RowsOf) -> Samples:
        """What is at places (n,) of each image."""
        logits, features = _rows_at(places, rows_of)
        logits = logits[:, : self.num_known]
        return Samples(logits, features, kind=self.scores.kind)

    def _check_left_out(
        self,
        losses: dict[str, Tensor],
        rows: Tensor,
        outputs: Sequence[Tensor],
    ) -> None:
        if is_taught(losses, rows, outputs):
            raise ValueError(
                f'{type(self).__name__} learns classes from objects that are '
                'flagged OOD, as its loss takes no weights of what it '
                'classifies: train it without an mmood.OODFlagCocoDataset'
            )
        self._leaves_out = True


def _rows_at(
    places: Sequence[Tensor], rows_of: RowsOf
) -> tuple[Tensor, Tensor]:
    """Logits (R, K + extra) and features (R, C) of all images."""
    parts = zip(*(rows_of(i, at) for i, at in enumerate(places)))
    logits, features = map(torch.cat, parts)
    return logits, features


def counting_places(labels: Tensor) -> Tensor:
    """Places of all known rows and of some of the background, at random.

    Three of the background for each known one, at least 16.
    """
    known = (labels >= 0).nonzero()[:, 0]
    background = (labels == BACKGROUND).nonzero()[:, 0]
    chosen = torch.randperm(len(background), device=labels.device)
    count = max(_LEAST, _SHARE * len(known))
    return torch.cat([known, background[chosen[:count]]])
