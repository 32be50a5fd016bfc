"""A RoI head whose boxes say how unknown they are.

Shapes: R RoIs of all images, n boxes kept of one image, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.registry import MODELS
from mmood.scores import get_score


@MODELS.register_module()
class OODRoIHead(StandardRoIHead):
    """Stock RoI head + OOD scores at test + DFDD's losses in training.

    Boxes, class scores and labels are the parent's, to the bit. Each kept
    box also has ``ood_scores``, the first of ``scores`` (higher is more
    OOD), each score under ``ood_scores_<name>``, ``is_ood``, True where the
    first score exceeds ``ood_threshold``, and ``max_class_scores``, the
    largest class confidence of the box's RoI.

    Args:
        scores: names from `mmood.scores`.
        loss_uncertainty, loss_consistency: loss configs, which need the
            ``blurred`` / ``deblurred`` maps of a `DFDDNeck`; None: without.

    Buffers, nan until `mmood.hooks.CalibrateOODHook` fits them on ID data:
    ``ood_threshold`` keeps 95 % of the ID boxes, ``score_threshold`` is the
    class confidence from which a box counts.
    """

    def __init__(
        self,
        *args,
        scores: Sequence[str] = ('energy',),
        loss_uncertainty: dict | None = None,
        loss_consistency: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(scores, str) or not scores:
            raise ValueError(
                f'scores must be a list with at least one name, got {scores!r}'
            )
        self.scores = {name: get_score(name) for name in scores}
        self.loss_uncertainty = _build(loss_uncertainty)
        self.loss_consistency = _build(loss_consistency)
        self.register_buffer('ood_threshold', torch.tensor(float('nan')))
        self.register_buffer('score_threshold', torch.tensor(float('nan')))
        self._class_mismatch: str | None = None

    # ----------------------------------------------------------- training
    def bbox_loss(self, x: tuple, sampling_results: list) -> dict:
        self._class_mismatch = None
        results = super().bbox_loss(x, sampling_results)
        losses = results['loss_bbox']
        if getattr(x, 'loss_deblur', None) is not None:
            losses['loss_deblur'] = x.loss_deblur
        if self.loss_uncertainty is None and self.loss_consistency is None:
            return results

        rois = bbox2roi([res.pos_priors for res in sampling_results])
        known = results['cls_score'][_foreground(sampling_results)]
        count = reduce_mean(known.new_tensor(float(len(rois))))
        if self.loss_uncertainty is not None:
            outlier = self._logits(x, 'blurred', rois)
            losses['loss_uncertainty'] = self.loss_uncertainty(
                known[:, :-1], outlier[:, :-1], avg_factor=count
            )
        if self.loss_consistency is not None:
            deblurred = self._logits(x, 'deblurred', rois)
            losses['loss_consistency'] = self.loss_consistency(
                known, deblurred, avg_factor=count
            )
        return results

    def _logits(self, x: tuple, product: str, rois: Tensor) -> Tensor:
        """Class logits (R, K + 1) of RoIs on a product of the neck."""
        maps = getattr(x, product, None)
        if maps is None:
            raise ValueError(
                f'a loss of OODRoIHead needs the {product} maps, and '
                f'{type(x).__name__} has none: put an mmood.DFDDNeck behind '
                'the FPN (deblur=True for loss_consistency)'
            )
        return self._bbox_forward(maps, rois)['cls_score']

    # ------------------------------------------------------------ testing
    def predict_bbox(
        self,
        x: tuple,
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: dict | None,
        rescale: bool = False,
    ) -> list[InstanceData]:
        if self._class_mismatch:
            raise ValueError(self._class_mismatch)
        with record_calls(self.bbox_head.fc_cls) as calls:
            results = super().predict_bbox(
                x, batch_img_metas, rpn_results_list, None, rescale
            )
        if rcnn_test_cfg is None:
            return results
        sizes = [len(result) for result in rpn_results_list]
        columns = self.bbox_head.num_classes + 1
        logits = calls[0][1] if calls else x[0].new_zeros((0, columns))
        return [
            self._keep(result, part, rcnn_test_cfg)
            for result, part in zip(results, logits.split(sizes))
        ]

    def _keep(
        self, raw: InstanceData, logits: Tensor, cfg: dict
    ) -> InstanceData:
        """NMS of one image's RoIs; each kept box takes its RoI's scores."""
        dets, labels, inds = multiclass_nms(
            raw.bboxes,
            raw.scores,
            cfg.score_thr,
            cfg.nms,
            cfg.max_per_img,
            return_inds=True,
            box_dim=4,
        )
        # An index counts (RoI, class) pairs, row by row.
        rois = inds // self.bbox_head.num_classes
        kept = logits[rois, :-1]
        result = InstanceData(
            bboxes=dets[:, :4], scores=dets[:, 4], labels=labels
        )
        result.max_class_scores = raw.scores[rois, :-1].amax(1)
        for name, score in self.scores.items():
            values = score(kept)
            if 'ood_scores' not in result:
                result.ood_scores = values
                result.is_ood = values > self.ood_threshold
            result.set_field(values, f'ood_scores_{name}')
        return result

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Remember a classifier that did not fit; see `predict_bbox`.

        Fine-tuning from a checkpoint of other classes is fine. Predicting
        with the untrained classifier that this leaves behind is not, and
        MMEngine only warns of it.
        """
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        weight = state_dict.get(f'{prefix}bbox_head.fc_cls.weight')
        own = self.bbox_head.fc_cls.weight
        if weight is not None and weight.shape != own.shape:
            self._class_mismatch = (
                f'the checkpoint has a classifier of shape '
                f'{tuple(weight.shape)}, the model one of {tuple(own.shape)} '
                '(classes + background): set num_classes to that of the '
                'checkpoint, or train before testing'
            )


def _build(cfg: dict | None) -> nn.Module | None:
    return None if cfg is None else MODELS.build(cfg)


def _foreground(sampling_results: list) -> Tensor:
    """Mask (R,) of the foreground RoIs in the order of `bbox2roi`."""
    masks = []
    for res in sampling_results:
        device = res.pos_priors.device
        mask = torch.zeros(len(res.priors), dtype=torch.bool, device=device)
        mask[: len(res.pos_priors)] = True
        masks.append(mask)
    return torch.cat(masks)


@contextmanager
def record_calls(module: nn.Module) -> Iterator[list]:
    """List of (first input, output) of each call to ``module`` inside."""
    calls: list = []
    handle = module.register_forward_hook(
        lambda _, inputs, output: calls.append((inputs[0], output))
    )
    try:
        yield calls
    finally:
        handle.remove()
