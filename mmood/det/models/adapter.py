"""What every head is given whose boxes say how unknown they are.

Shapes: n boxes kept of one image, K known classes, C features of a box.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmood.losses import OODLoss, build_losses
from mmood.losses.batch import LossDict
from mmood.outliers import OutlierSource, build_source
from mmood.scores import FirstThreshold, Samples, ScoreSet

from .roi_tools import fit_labels


class BoxAdapter(FirstThreshold):
    """Scores, losses and outliers of a head, before the head's class.

    Boxes, confidences and labels are the parent's, to the bit. Each kept box
    also has ``ood_scores``, the first of ``scores`` (higher is more OOD),
    each score under ``ood_scores_<name>``, ``is_ood``, True where the first
    score exceeds its threshold, and ``max_class_scores``, the largest class
    confidence where the box comes from.

    The buffer ``score_threshold``, nan until `mmood.hooks.CalibrateOODHook`
    fits it on ID data, is the class confidence from which a box counts.
    While ``keeps_samples`` is set, boxes carry the ``samples`` that scores
    are fitted on, instead of scores; with ``keeps_features`` also the
    ``features`` (n, C) that their scores saw. ``wanted`` are the names of the
    scores that boxes get; None: all.
    """

    keeps_features = False
    unknown_class = False
    wanted: Sequence[str] | None = None
    exact_buffers = ('ood_threshold', 'score_threshold')
    score_threshold: Tensor
    keeps_samples: bool
    losses: LossDict
    outliers: OutlierSource | None

    if TYPE_CHECKING:

        @property
        def num_classes(self) -> int:
            """K, and one more where a class of the head is 'unknown'."""

    @property
    def num_known(self) -> int:
        """K, which `mmood.CheckDataHook` compares with the data's classes."""
        return self.num_classes - self.unknown_class

    def add_scores(
        self,
        scores: Sequence[str | dict],
        losses: Sequence[dict] = (),
        outliers: dict | None = None,
        *,
        channels: int | None,
        kind: str = 'softmax',
        missing: Mapping[str, str],
        lacking: Mapping[str, str] = MappingProxyType({}),
        num_layers: int | None = None,
    ) -> None:
        """Build them; ``missing`` as in `ScoreSet`.

        ``lacking`` says the same of a `Batch`, for losses and outliers;
        ``num_layers`` is that of an `OODLoss`, None: there are no decoder
        layers.
        Raises ValueError for losses, scores and outliers that do not go
        together or do not fit the head.
        """
        if hasattr(self, 'score_threshold'):
            raise ValueError(
                f'{type(self).__name__} cannot have scores: it has a '
                'score_threshold of its own'
            )
        classes = self.num_known
        lacking = dict(lacking)
        if num_layers is None:
            lacking['layers'] = 'only DETR heads have decoder layers'
        self.losses = build_losses(
            losses,
            num_classes=classes,
            in_channels=channels,
            num_layers=num_layers or 1,
        )
        made = self.losses.values()
        self.outliers = build_source(
            outliers, made, num_classes=classes, channels=channels
        )
        for loss in made:
            check_part(loss, kind, lacking)
        if self.outliers is not None:
            check_part(self.outliers, kind, lacking)
        self.scores = ScoreSet(
            scores,
            num_classes=classes,
            channels=channels,
            kind=kind,
            losses=made,
            missing=missing,
        )
        self.keeps_samples = False
        self.register_buffer('score_threshold', torch.tensor(float('nan')))

    def forget(self) -> None:
        """Count boxes of any confidence, as before the calibration."""
        self.score_threshold.fill_(float('nan'))

    def judge(self, boxes: InstanceData, samples: Samples) -> InstanceData:
        """The kept boxes of an image with their scores, or samples."""
        if self.keeps_samples:
            boxes.samples = samples
            return boxes
        if self.keeps_features:
            is_there = samples.features is not None
            boxes.features = samples.features if is_there else samples.logits
        scores = self.scores(samples, self.wanted)
        first, boxes.ood_scores = next(iter(scores.items()))
        boxes.is_ood = boxes.ood_scores > self.scores.thresholds[first]
        for name, values in scores.items():
            boxes.set_field(values, f'ood_scores_{name}')
        return boxes

    def fit_samples(
        self, sample: DetDataSample
    ) -> Iterator[tuple[Samples, Tensor, Tensor]]:
        """Samples, classes and keys of an image's boxes, see `fit_labels`.

        Raises ValueError for an image without annotations.
        """
        if 'instances' not in sample:
            raise ValueError(
                f'{sample.get("img_path")} comes without its annotated '
                'boxes: the set to fit on must be an mmood.IDCocoDataset'
            )
        kept = sample.pred_instances
        on_validation = self.scores.fitted_on == 'validation'
        labels = fit_labels(kept, sample.instances, on_validation)
        mask = labels >= 0
        rank = torch.arange(len(kept), device=mask.device)
        keys = zlib.crc32(str(sample.img_id).encode()) * 4096 + rank
        samples = self.scores.with_values(kept.samples[mask])
        yield samples, labels[mask], keys[mask]

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Weights without a ``score_threshold`` leave none."""
        state_dict.setdefault(
            f'{prefix}score_threshold', torch.tensor(float('nan'))
        )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def check_part(
    part: OODLoss | OutlierSource, kind: str, lacking: Mapping[str, str]
) -> None:
    """Raises ValueError for a head that a loss or source is not for."""
    name = type(part).__name__
    for one in part.reads:
        if one in lacking:
            raise ValueError(f'{name} is not defined here: {lacking[one]}')
    kinds = getattr(part, 'kinds', (kind,))
    if kind not in kinds:
        raise ValueError(
            f'{name} is defined for {" and ".join(kinds)} logits, and these '
            f'are of {kind}: leave it out'
        )
