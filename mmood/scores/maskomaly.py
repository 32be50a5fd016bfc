"""Maskomaly: masks that nothing known fills, and queries that find outliers.

Shapes: B images, N queries, K known classes, H x W pixels. Class
probabilities p (N, K + 1), whose last one is "no object", and masks m (N, H,
W) after the sigmoid.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from .fitted import FittedScore
from .queries import MaskQueries
from .samples import Samples, register_score

# IoUs are summed in whole steps of this size: in any order, on any number of
# ranks, the sum is the same.
_STEP = 2.0**-40


def overlaps(
    queries: MaskQueries, image: int, outlier: Tensor, known: Tensor, at: float
) -> Tensor:
    """IoU of each query's mask with the outliers, (N,), float64, in [0, 1].

    The mask is where ``m > at``. ``outlier`` (H, W) is where the outliers
    are, at least a pixel of them; pixels that are not ``known`` (H, W) do
    not count.
    """
    count = queries.mask_logits.shape[1]
    numbers = torch.arange(count, device=outlier.device)
    found = torch.zeros(count, dtype=torch.float64, device=outlier.device)
    for chosen, masks in queries.masks(image, numbers):
        inside = (masks > at) & known
        both = (inside & outlier).sum((1, 2))
        found[chosen] = both.double() / (inside | outlier).sum((1, 2))
    return found


@register_score('maskomaly', reads=('queries',), kinds=('mask',))
class Maskomaly(FittedScore):
    """``a A + (1 - a) B``, (B, H, W), in [0, 1]; ``a`` is the ``weight``.

    A is ``1 - max_n m_n p_n`` over queries whose likeliest class is known,
    with a probability p_n above ``confidence``; 1 without such a query, and
    0 where the masks of two queries of known classes, sure or not, are both
    above ``overlap``: on borders. B is ``max_n m_n p_n`` over the kept
    queries, p_n the largest probability, that of "no object" included.

    Kept are those whose mask, where it is above ``mask_threshold``, has a
    mean IoU of ``min_iou`` or more with the outliers in ID validation images
    with synthetic ones, labelled ``outlier_label``; images without one do
    not count. The authors keep queries by labelled OOD images, and clear
    what two queries of theirs say of the ground of Cityscapes, which is
    left out.

    Source: Ackermann et al., "Maskomaly: Zero-Shot Mask Anomaly
    Segmentation", BMVC 2023, with the settings of the authors' code.
    Buffers: ``kept`` (Q,), numbers of queries, ``mean_iou`` (N,) and
    ``fitted_for``, the ``mask_threshold`` and ``min_iou`` of the fit.
    Raises ValueError for settings outside of [0, 1], `finish` if no image
    has an outlier or no query is kept, and at test for another N, or other
    settings than those of the fit.
    """

    kept: Tensor
    mean_iou: Tensor
    fitted_for: Tensor
    resizable = MappingProxyType(dict(kept=0, mean_iou=0))
    fitted_on = 'outliers'

    def __init__(
        self,
        *,
        weight: float = 0.6,
        confidence: float = 0.7,
        overlap: float = 0.1,
        mask_threshold: float = 0.9,
        min_iou: float = 0.25,
        outlier_label: int = 254,
    ) -> None:
        super().__init__()
        settings = dict(
            weight=weight,
            confidence=confidence,
            overlap=overlap,
            mask_threshold=mask_threshold,
            min_iou=min_iou,
        )
        for name, value in settings.items():
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {value}')
        self.weight, self.confidence = weight, confidence
        self.overlap, self.mask_threshold = overlap, mask_threshold
        self.min_iou, self.outlier_label = min_iou, outlier_label
        self.register_buffer('kept', torch.zeros(0, dtype=torch.int64))
        self.register_buffer('mean_iou', torch.zeros(0, dtype=torch.float64))
        self.register_buffer('fitted_for', torch.zeros(2, dtype=torch.float64))

    def vectors(self, samples: Samples) -> Tensor:
        return samples.queries.mask_logits

    def _start(self) -> None:
        self._sum = torch.zeros(0, dtype=torch.int64)
        self._seen = torch.zeros(2, dtype=torch.int64)  # with outliers, all

    def _add(
        self, samples: Samples, labels: Tensor, keys: Tensor | None
    ) -> None:
        """Labels (B, H, W); a negative one: nothing is known there."""
        queries = samples.queries
        if not len(self._sum):
            count = queries.mask_logits.shape[1]
            self._sum = torch.zeros(count, dtype=torch.int64)
        for image, label in enumerate(labels):
            outlier = label == self.outlier_label
            if outlier.any():
                found = overlaps(
                    queries, image, outlier, label >= 0, self.mask_threshold
                )
                self._sum += (found / _STEP).round().long().cpu()
                self._seen[0] += 1
            self._seen[1] += 1

    def _finish(self) -> None:
        count = torch.tensor(len(self._sum))
        all_reduce(count, 'max')
        if not len(self._sum):  # this rank has seen no image
            self._sum = torch.zeros(int(count), dtype=torch.int64)
        all_reduce(self._seen)
        if int(self._seen[0]) == 0:
            raise ValueError(
                f'none of {int(self._seen[1])} images to fit Maskomaly on has '
                f'a pixel of label {self.outlier_label}: put a transform that '
                'pastes outliers into ood.outlier_fit, or set outlier_label '
                'to its label'
            )
        all_reduce(self._sum)
        mean = self._sum.double() * _STEP / self._seen[0]
        kept = (mean >= self.min_iou).nonzero()[:, 0]
        if not len(kept):
            raise ValueError(
                f'no query of {len(mean)} finds the synthetic outliers: the '
                f'best mean IoU is {mean.max():.3f}, of query '
                f'{int(mean.argmax())}, and min_iou is {self.min_iou}. Lower '
                'it, paste larger outliers or train longer'
            )
        self.kept = kept.to(self.kept.device)
        self.mean_iou = mean.to(self.mean_iou.device)
        self.fitted_for.copy_(self._settings())
        self._start()

    def _score(self, samples: Samples) -> Tensor:
        queries = samples.queries
        count = queries.mask_logits.shape[1]
        if count != len(self.mean_iou):
            raise ValueError(
                f'Maskomaly was fitted on {len(self.mean_iou)} queries, and '
                f'there are {count}: run tools/fit_scores.py with this config'
            )
        if not torch.equal(self.fitted_for.cpu(), self._settings()):
            threshold, least = self.fitted_for.tolist()
            raise ValueError(
                f'Maskomaly was fitted for mask_threshold={threshold} and '
                f'min_iou={least}, and they are {self.mask_threshold} and '
                f'{self.min_iou}: run tools/fit_scores.py with this config'
            )
        parts = [self._of_image(queries, i) for i in range(len(queries))]
        if not parts:
            return queries.mask_logits.new_zeros(0, *queries.size)
        return torch.stack(parts)

    def _settings(self) -> Tensor:
        """Those that the kept queries depend on."""
        values = [self.mask_threshold, self.min_iou]
        return torch.tensor(values, dtype=torch.float64)

    @torch.no_grad()
    def _of_image(self, queries: MaskQueries, image: int) -> Tensor:
        p = queries.probabilities[image]
        best, classes = p.max(-1)
        known = classes < p.shape[-1] - 1
        sure = (known & (best > self.confidence)).tolist()
        kept = torch.zeros_like(known)
        kept[self.kept] = True
        claimed = best.new_zeros(queries.size)
        outliers = torch.zeros_like(claimed)
        borders = torch.zeros_like(claimed, dtype=torch.int16)
        wanted = (known | kept).nonzero()[:, 0]
        is_known, is_kept = known.tolist(), kept.tolist()
        for chosen, masks in queries.masks(image, wanted):
            for n, mask in zip(chosen.tolist(), masks):  # few passes each
                if is_known[n]:
                    borders += mask > self.overlap
                shown = mask.mul_(best[n])
                if sure[n]:
                    torch.maximum(claimed, shown, out=claimed)
                if is_kept[n]:
                    torch.maximum(outliers, shown, out=outliers)
        rejected = (1 - claimed).masked_fill(borders > 1, 0)
        return self.weight * rejected + (1 - self.weight) * outliers
