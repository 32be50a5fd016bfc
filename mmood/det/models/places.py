"""Which prior a box of a one-stage head comes from, and what is there.

MMDetection's dense heads choose, decode and thin out their boxes without
saying of which prior each one is. Columns that ride along on the priors tell:
they are chosen with them, and stand behind the decoded boxes until the
post-processing, which keeps every field it is given.

Shapes: n priors or boxes, a columns of each (2 to 4); A priors of a position,
maps (c, H, W).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmdet.models.task_modules import BaseBBoxCoder
from mmengine.structures import InstanceData
from torch import Tensor

from .parents import DenseHead

_BASE = 256  # exact in every floating-point type, bfloat16 included
COLUMNS = 3  # for 256^3 priors


def with_places(rows: Tensor, start: int = 0) -> Tensor:
    """Rows (*, n, a) with their places from ``start`` on, (*, n, a + 3)."""
    count = rows.shape[-2]
    places = torch.arange(start, start + count, device=rows.device)
    digits = [places // _BASE**i % _BASE for i in range(COLUMNS)]
    columns = torch.stack(digits, -1).to(rows)
    return torch.cat([rows, columns.expand(*rows.shape[:-1], -1)], -1)


def split_places(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (n, a) without places, and the places (n,)."""
    digits = rows[:, -COLUMNS:].long()
    powers = [_BASE**i for i in range(COLUMNS)]
    return rows[:, :-COLUMNS], (digits * digits.new_tensor(powers)).sum(1)


class CarryingCoder:
    """A box coder whose boxes keep the places of their priors."""

    def __init__(self, coder: BaseBBoxCoder) -> None:
        self._coder = coder

    def __getattr__(self, name: str) -> object:
        return getattr(self._coder, name)

    def decode(self, priors: Tensor, *args, **kwargs) -> Tensor:
        own, columns = priors[:, :-COLUMNS], priors[:, -COLUMNS:]
        boxes = self._coder.decode(own, *args, **kwargs)
        return torch.cat([boxes, columns.to(boxes)], -1)


class PlacedBoxes(DenseHead):
    """A one-stage head whose boxes have the places of their priors.

    As the field ``places`` (n,), counted over all levels.
    """

    _is_marking = False

    def predict_by_feat(self, *args, **kwargs) -> list[InstanceData]:
        with self._marked_priors():
            return super().predict_by_feat(*args, **kwargs)

    @contextmanager
    def _marked_priors(self) -> Iterator[None]:
        """Places ride along with priors and boxes inside."""
        coder = getattr(self, 'bbox_coder', None)
        self._is_marking = True
        if coder is not None:
            self.bbox_coder = CarryingCoder(coder)
        try:
            yield
        finally:
            self._is_marking = False
            if coder is not None:
                self.bbox_coder = coder

    def _predict_by_feat_single(
        self, *args, mlvl_priors: Sequence[Tensor], **kwargs
    ) -> InstanceData:
        marked, start = [], 0
        for priors in mlvl_priors:
            marked.append(with_places(priors, start))
            start += len(priors)
        return super()._predict_by_feat_single(
            *args, mlvl_priors=marked, **kwargs
        )

    def anchor_center(self, anchors: Tensor) -> Tensor:
        """As the parent's, of heads that decode from centres."""
        centers = super().anchor_center(anchors)
        return torch.cat([centers, anchors[..., 4:]], -1)

    def _bbox_decode(self, *args) -> Tensor:
        """As YOLOX does, (B, n, 4) of all priors before it chooses any."""
        boxes = super()._bbox_decode(*args)
        is_all = self._is_marking and boxes.dim() == 3
        return with_places(boxes) if is_all else boxes

    def _bbox_post_process(
        self, results: InstanceData, *args, **kwargs
    ) -> InstanceData:
        boxes, places = split_places(results.bboxes)
        results.bboxes, results.places = boxes, places
        return super()._bbox_post_process(results, *args, **kwargs)


def rows_at(
    maps: Sequence[Tensor], places: Tensor, num_priors: int, groups: int = 1
) -> Tensor:
    """The values at the places of some priors, (n, c).

    Priors are counted level by level, row by row, the A of a position one
    after the other. Maps (groups c, H, W) of each level have one group of
    channels for each prior of a position, or one for all.
    """
    width = maps[0].shape[0] // groups
    found = maps[0].new_zeros(len(places), width)
    start = 0
    for level in maps:
        count = level[0].numel() * num_priors
        is_here = (places >= start) & (places < start + count)
        # Clamped, not chosen: so nothing waits for the device.
        index = (places - start).clamp(0, count - 1)
        group = index % num_priors if groups > 1 else 0 * index
        values = level.reshape(groups, width, -1)
        rows = values[group, :, index // num_priors]
        found = torch.where(is_here[:, None], rows, found)
        start += count
    return found
