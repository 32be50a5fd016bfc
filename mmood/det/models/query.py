"""DETR heads whose boxes say how unknown they are.

Shapes: B images, Q queries, n boxes kept of one image, K known classes
(K + 1 logits with background), C channels of a query.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.scores import Samples
from mmood.scores.classifier import linear_of, why_not_linear

from .adapter import BoxAdapter
from .roi_tools import record_calls

_UNIT = 2.0**-20  # exact as a float32, for as many queries


class QueryAdapter(BoxAdapter):
    """OOD scores of the boxes of a DETR head.

    What boxes get: see `BoxAdapter`. A box's logits and features (C,) are
    those of its query behind the last decoder layer; of a focal loss's head
    the logits are of the kind ``'sigmoid'``.

    Raises ValueError for a head without a layer ``fc_cls`` or
    ``cls_branches`` of single queries, and for scores that read what is not
    there.
    """

    def equip(self, scores: Sequence[str | dict]) -> None:
        """What the parent's constructor does not know."""
        layer = self._layers()[0]
        self.add_scores(
            scores,
            channels=self.embed_dims,
            kind='sigmoid' if self.loss_cls.use_sigmoid else 'softmax',
            missing=dict(
                classifier=why_not_linear(layer),
                inputs='a DETR head classifies queries, not pooled boxes',
            ),
        )

    def _layers(self) -> list[nn.Module]:
        """What classifies the queries of each decoder layer.

        Raises ValueError if there is none, or something else than a layer.
        """
        if hasattr(self, 'fc_cls'):
            layers = [self.fc_cls]
        else:
            layers = list(getattr(self, 'cls_branches', ()))
        if not layers or not isinstance(layers[0], nn.Linear):
            raise ValueError(
                f'{type(self).__name__} does not work like the DETR heads '
                'that can have scores: it has no linear fc_cls or '
                'cls_branches'
            )
        return layers

    def predict(self, *args, **kwargs) -> list[InstanceData]:
        with record_calls(*set(self._layers())) as calls:
            results = super().predict(*args, **kwargs)
        features, logits = calls[-1]  # (1, B, Q, .) where all come at once
        if features.dim() == 4:
            features, logits = features[-1], logits[-1]
        return [
            self._judged(boxes, *parts)
            for boxes, *parts in zip(results, features, logits)
        ]

    def _predict_by_feat_single(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        img_meta: dict,
        rescale: bool = True,
    ) -> InstanceData:
        """The parent's, with the ``queries`` (n,) that it chose.

        Its choice goes by the logits alone: so the same call, for boxes that
        are points and say which query they are of, tells it.
        """
        single = super()._predict_by_feat_single
        boxes = single(cls_score, bbox_pred, img_meta, rescale)
        numbers = torch.arange(len(bbox_pred), device=bbox_pred.device)
        points = torch.zeros(len(bbox_pred), 4, device=bbox_pred.device)
        points[:, 0] = numbers * _UNIT
        chosen = single(cls_score, points, dict(img_shape=(1, 1)), False)
        boxes.queries = (chosen.bboxes[:, 0] / _UNIT).long()
        return boxes

    def _judged(
        self, boxes: InstanceData, features: Tensor, logits: Tensor
    ) -> InstanceData:
        """The boxes of an image, scored by their queries."""
        places = boxes.pop('queries')
        rows, classes = logits[places], self.num_classes
        is_sigmoid = self.scores.kind == 'sigmoid'
        p = rows.sigmoid() if is_sigmoid else rows.softmax(-1)
        boxes.max_class_scores = p[:, :classes].amax(1)
        layer = self._layers()[0]
        samples = Samples(
            logits=rows[:, :classes],
            features=features[places],
            kind=self.scores.kind,
            classifier=linear_of(layer, classes),
        )
        return self.judge(boxes, samples)
