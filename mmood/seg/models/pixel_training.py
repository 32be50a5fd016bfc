"""Losses on the pixels of a segmentor, beside its own.

Shapes: B images, K classes, H x W pixels, h x w of the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.logging import MessageHub
from mmengine.structures import PixelData
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmood.losses import (
    IGNORE,
    OUTLIER,
    Batch,
    OODLoss,
    build_losses,
    ood_losses,
)
from mmood.losses.pixels import PixelLoss
from mmood.ops import Activity
from mmood.scores import Samples

from .heads import TrainOutputs, record_training
from .mask_heads import kind_of
from .parents import Segmentor
from .windows import both_classes


class PixelTraining(Segmentor):
    """Part of a segmentor, before its parent; ``pixel_losses`` may be empty.

    The parent's own losses never see an outlier: to them its pixels are
    ignored.
    """

    outlier_label: int
    outlier_pixels: Activity

    def _build_pixel_losses(
        self,
        configs: Sequence[dict],
        outlier_label: int,
        supervised: bool = True,
    ) -> None:
        """Raises ValueError for a label or losses that do not fit."""
        if configs and self.losses:
            raise ValueError(
                'losses train on the features of a segmentor that stays as '
                'it is, pixel_losses train the segmentor: give one of them'
            )
        self.outlier_label, self.supervised = outlier_label, supervised
        classes, kind = max(self.out_channels, 2), kind_of(self.decode_head)
        self.pixel_losses = build_losses(
            configs,
            of_pixels=True,
            num_classes=classes,
            in_channels=getattr(self.decode_head, 'channels', None),
        )
        for name, loss in self.pixel_losses.items():
            _check_loss(name, loss, kind)
            if isinstance(loss, PixelLoss):
                loss.attach(self)
        if configs:
            ignored = getattr(self.decode_head, 'ignore_index', 255)
            check_outlier_label(outlier_label, classes, ignored)
            _check_class_weights(self)
        waiting = [n for n, x in self.pixel_losses.items() if x.needs_outliers]
        if waiting:
            self.outlier_pixels = Activity(
                f'outliers in the images, pixels of label {outlier_label} '
                f'for {", ".join(waiting)}: put mmood.PasteOutliers into the '
                'training pipeline'
            )

    def loss(
        self, inputs: Tensor, data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """The parent's, of the known pixels, and ``pixel_losses``.

        Without ``supervised`` the parent's are computed, for their logits,
        and left out.
        """
        if not self.pixel_losses:
            return super().loss(inputs, data_samples)
        self.check_weights()
        ignored = getattr(self.decode_head, 'ignore_index', 255)
        samples = data_samples or []
        labels = torch.cat([one.gt_sem_seg.data for one in samples])
        is_outlier = labels == self.outlier_label
        known = labels.masked_fill(is_outlier, ignored)
        if hasattr(self, 'outlier_pixels'):
            self.outlier_pixels.add(is_outlier.sum())
        views = any('view' in one.reads for one in self.pixel_losses.values())
        with self.extracting_once(views):
            with record_training(self.decode_head) as found:
                losses = super().loss(inputs, _labelled(samples, known))
            labels = known.long().masked_fill(known == ignored, IGNORE)
            labels = labels.masked_fill(is_outlier, OUTLIER)
            batch = self._batch_of_pixels(found, labels, inputs)
            of_pixels = ood_losses(batch, self.pixel_losses)
        if not self.supervised:
            losses = {k: v for k, v in losses.items() if 'loss' not in k}
        return {**losses, **of_pixels}

    def _batch_of_pixels(
        self, said: TrainOutputs, labels: Tensor, inputs: Tensor
    ) -> Batch:
        """Of what the head said, labels (B, H, W) and the images."""
        kind, (height, width) = kind_of(self.decode_head), labels.shape[1:]
        size = height, width

        def view(images: Tensor) -> Samples:
            found = self.decode_head.forward(self.extract_feat(images))
            corners = self.align_corners
            found = resize(found, size, None, 'bilinear', corners, False)
            return Samples(logits=both_classes(found), kind=kind)

        hub = MessageHub.get_current_instance()
        return Batch(
            logits=both_classes(said.maps()),
            labels=labels,
            num_classes=max(self.out_channels, 2),
            inputs=inputs,
            view=view,
            kind=kind,
            queries=said.queries(size),
            iteration=hub.get_info('iter', 0),
            max_iters=hub.get_info('max_iters'),
        )


def check_outlier_label(label: int, classes: int, ignored: int) -> None:
    """Raises ValueError for a label that means something else already."""
    if not 0 <= label <= 255:
        raise ValueError(
            f'outlier_label must be in 0..255, as labels are, got {label}'
        )
    if label < classes:
        raise ValueError(
            f'outlier_label={label} is a class: there are {classes}, 0 to '
            f'{classes - 1}; take a number from {classes} to 254'
        )
    if label == ignored:
        raise ValueError(
            f'outlier_label={label} is also ignore_index: take another number'
        )


def _check_class_weights(model: nn.Module) -> None:
    """ValueError for a loss of mmseg that breaks where pixels are ignored.

    It looks up the weight of each label, of 255 too.
    """
    for name, loss in model.named_modules():
        weighted = getattr(loss, 'class_weight', None) is not None
        if isinstance(loss, CrossEntropyLoss) and weighted:
            raise ValueError(
                f'{name} has class_weight, with which the CrossEntropyLoss '
                'of MMSegmentation fails at ignored pixels, as outliers are '
                f'to it: set model.{name}.class_weight=None'
            )


def _check_loss(name: str, loss: OODLoss, kind: str) -> None:
    if kind not in loss.kinds:
        raise ValueError(
            f'{name} is defined for {" and ".join(loss.kinds)} logits, and '
            f'those of this decode head are of {kind}: take another loss'
        )


def _labelled(
    samples: Sequence[SegDataSample], labels: Tensor
) -> list[SegDataSample]:
    """The samples with other labels (B, H, W); those given stay."""
    found = [sample.new() for sample in samples]
    for sample, label in zip(found, labels):
        sample.gt_sem_seg = PixelData(data=label[None])
    return found
