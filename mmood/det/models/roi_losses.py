"""What OOD methods add to the losses of a RoI head.

Shapes: R RoIs of all images, N of them on known objects, M outliers, K
classes, C box features, (c, h, w) pooled maps.
"""

from __future__ import annotations

import torch
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from mmood.ops import rank_count

from .roi_tools import foreground, has_started, jittered, record_calls

OUTLIERS = (
    'the outliers of loss_uncertainty, as in a plain detector: train longer, '
    'start earlier (outlier_start_share or outlier_start_iter of '
    'model.roi_head; queue_size and patience of its outliers), or flag '
    'objects as OOD'
)


class OODLosses:
    """Part of `OODRoIHead`: its parts' losses on the known objects."""

    def _ood_losses(
        self,
        x: tuple,
        sampling_results: list,
        results: dict,
        features: Tensor,
        flagged: Tensor,
    ) -> dict[str, Tensor]:
        """Losses from what the parent made of all RoIs (R, ...).

        ``flagged`` are the RoIs on objects annotated as OOD, apart.
        """
        losses: dict[str, Tensor] = {}
        mask = foreground(sampling_results)
        every = dict(logits=results['cls_score'], features=features)
        known = {name: values[mask] for name, values in every.items()}
        labels = torch.cat([res.pos_gt_labels for res in sampling_results])
        rois = bbox2roi([res.pos_priors for res in sampling_results])
        if self.loss_uncertainty is not None:
            losses = self._uncertainty_losses(
                x, rois, every, known, labels, flagged
            )
        if self.loss_consistency is not None:
            maps = self._product(x, 'deblurred')
            deblurred = self._bbox_forward(maps, rois)['cls_score']
            losses['loss_consistency'] = self.loss_consistency(
                known['logits'], deblurred, avg_factor=rank_count(rois)
            )
        if self.auxiliary is not None:
            needs_second = getattr(self.auxiliary, 'needs_second_view', False)
            second = self._pool(x, jittered(rois)) if needs_second else None
            more = self.auxiliary(
                known['features'],
                labels,
                factor=rank_count(rois),
                inputs=results['bbox_feats'][mask],
                second=second,
                view=self.view,
            )
            losses.update(more)
        return losses

    def _uncertainty_losses(
        self,
        x: tuple,
        rois: Tensor,
        every: dict[str, Tensor],
        known: dict[str, Tensor],
        labels: Tensor,
        flagged: Tensor,
    ) -> dict[str, Tensor]:
        """That of ``every`` RoI or the known ones, and the outliers'."""
        active = has_started(self.outlier_start_share, self.outlier_start_iter)
        outlier, losses = self._outliers(x, rois, known, labels, active)
        if active and len(flagged):
            outlier = torch.cat([outlier, self._view_of(x, flagged)])
        self.outlier_activity.add(len(outlier))
        if getattr(self.loss_uncertainty, 'uses_background', False):
            known = every
        losses['loss_uncertainty'] = self._uncertainty(
            known[self._food],
            outlier,
            active and self.outliers == 'annotated',
        )
        return losses

    def _outliers(
        self,
        x: tuple,
        rois: Tensor,
        known: dict[str, Tensor],
        labels: Tensor,
        active: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Made-up outliers, as `_food` says, and their maker's losses."""
        if self.outliers == 'annotated':
            return known[self._food][:0].detach(), {}
        if self.outliers is None:
            rois = rois if active else rois[:0]
            return self._view_of(self._product(x, 'blurred'), rois), {}
        made, losses = self.outliers(known['features'], labels, active=active)
        is_food = self._food == 'features'
        return made if is_food else self.bbox_head.fc_cls(made), losses

    def _uncertainty(
        self, known: Tensor, outlier: Tensor, without_outliers: bool
    ) -> Tensor:
        """Loss of logits (N, K + 1) and (M, K + 1), or features (., C).

        Known ones count where there are outliers, or ``without_outliers``.
        """
        known = known if len(outlier) or without_outliers else known[:0]
        if self._food == 'logits':
            known, outlier = known[:, :-1], outlier[:, :-1]
        return self.loss_uncertainty(
            known,
            outlier,
            known_factor=rank_count(known),
            outlier_factor=rank_count(outlier),
        )

    @property
    def _food(self) -> str:
        """What the uncertainty loss takes, ``'logits'`` or ``'features'``."""
        return getattr(self.loss_uncertainty, 'source', 'logits')

    def _view_of(self, maps: tuple, rois: Tensor) -> Tensor:
        """Class logits (R, K + 1) or features (R, C) of RoIs on maps."""
        with record_calls(self.bbox_head.fc_cls) as calls:
            logits = self._bbox_forward(maps, rois)['cls_score']
        return logits if self._food == 'logits' else calls[0][0]

    def _product(self, x: tuple, product: str) -> tuple:
        """Maps that the neck made beside the enhanced ones."""
        maps = getattr(x, product, None)
        if maps is None:
            raise ValueError(
                f'a loss of OODRoIHead needs the {product} maps, and '
                f'{type(x).__name__} has none: put an mmood.DFDDNeck behind '
                'the FPN (deblur=True for loss_consistency), or set outliers '
                "('annotated' for painted objects alone)"
            )
        return maps

    def _pool(self, x: tuple, rois: Tensor) -> Tensor:
        """Pooled maps (R, c, h, w), the input of the box head."""
        maps = x[: self.bbox_roi_extractor.num_inputs]
        pooled = self.bbox_roi_extractor(maps, rois)
        return self.shared_head(pooled) if self.with_shared_head else pooled
