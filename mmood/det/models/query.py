"""DETR heads whose boxes say how unknown they are.

Shapes: B images, Q queries, n boxes kept of one image, K known classes
(K + 1 logits with background), C channels of a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.losses import IGNORE, OUTLIER
from mmood.scores import Samples
from mmood.scores.classifier import linear_of, why_not_linear

from .flags import with_flagged
from .roi_tools import record_calls
from .unknown_queries import UnknownQueries

_NO_INPUTS = 'a DETR head classifies queries, not pooled boxes'
_UNIT = 2.0**-20  # exact as a float32, for as many queries


class QueryAdapter(UnknownQueries):
    """OOD scores of the boxes of a DETR head.

    What boxes get: see `BoxAdapter`. A box's logits and features (C,) are
    those of its query behind the last decoder layer; of a focal loss's head
    the logits are of the kind ``'sigmoid'``.

    Losses see the queries that are matched to objects by the last decoder
    layer, and three times as many of the others; those that are taken for
    unknown objects (`UnknownQueries`) count as objects, labelled `OUTLIER`.
    With an ``unknown_class`` ``is_ood`` is True for the boxes with label K.

    Raises ValueError for a head without a layer ``fc_cls`` or
    ``cls_branches`` of single queries, and for scores that read what is not
    there.
    """

    def equip(
        self,
        scores: Sequence[str | dict],
        losses: Sequence[dict] = (),
        outliers: dict | None = None,
        *,
        unknown_class: bool = False,
        pseudo: dict | None = None,
        cls_predictor_cfg: dict | None = None,
    ) -> None:
        """What the parent's constructor does not know."""
        self.add_unknown(unknown_class, pseudo, cls_predictor_cfg)
        reason = why_not_linear(self._layers[0])
        lacking = dict.fromkeys(('inputs', 'ious', 'look'), _NO_INPUTS)
        if reason:
            lacking['classify'] = reason
        self.add_scores(
            scores,
            losses,
            outliers,
            channels=self.embed_dims,
            kind='sigmoid' if self.loss_cls.use_sigmoid else 'softmax',
            missing=dict(classifier=reason, inputs=_NO_INPUTS),
            lacking=lacking,
            num_layers=self._num_branches,
        )

    @property
    def _num_branches(self) -> int:
        """How many decoder layers have a classifier of their own."""
        own = len(set(self._layers))
        return max(own - bool(getattr(self, 'as_two_stage', False)), 1)

    @property
    def _layers(self) -> tuple[nn.Linear, ...]:
        """What classifies the queries of each decoder layer.

        Raises ValueError if there is none, or something else than a layer.
        """
        if hasattr(self, 'fc_cls'):
            layers: tuple[nn.Linear, ...] = (self.fc_cls,)
        else:
            layers = tuple(getattr(self, 'cls_branches', ()))
        if not layers or not isinstance(layers[0], nn.Linear):
            raise ValueError(
                f'{type(self).__name__} does not work like the DETR heads '
                'that can have scores: it has no linear fc_cls or '
                'cls_branches'
            )
        return layers

    def _last_layer(self, hidden_states: Tensor) -> nn.Linear:
        """What classifies the queries of the last decoder layer."""
        layers = self._layers
        return layers[min(len(hidden_states), len(layers)) - 1]

    def loss(
        self,
        hidden_states: Tensor,
        *args,
        batch_data_samples: list,
        attention: Tensor | None = None,
        **kwargs,
    ) -> dict[str, Tensor]:
        samples, flags = with_flagged(batch_data_samples)
        kwargs['batch_data_samples'] = samples
        if not (self.losses or flags):
            with self.looking_at(attention):
                return super().loss(hidden_states, *args, **kwargs)
        last = self._last_layer(hidden_states)
        with ExitStack() as stack:
            stack.enter_context(self.looking_at(attention))
            calls = stack.enter_context(record_calls(last))
            assigned = stack.enter_context(self.targets_kept(flags))
            losses = super().loss(hidden_states, *args, **kwargs)
        count, images = hidden_states.shape[:2]
        # Shared by all decoder layers, and the encoder's, or of one alone.
        features, logits = calls[min(len(calls), count) - 1]
        if features.dim() == 4:  # all decoder layers at once
            features, logits = features[-1], logits[-1]
        # Those of the decoder layers stand first, the encoder's behind.
        by_layer = [assigned[i * images :][:images] for i in range(count)]
        labels = by_layer[-1]
        sizes = [0 if one is None else len(one) for one in labels]

        def rows_of(image: int, places: Tensor) -> tuple[Tensor, Tensor]:
            # Queries that denoise stand before those that are matched.
            start = features.shape[1] - sizes[image]
            places = places + start
            return logits[image][places], features[image][places]

        outputs = [logits for _, logits in calls]
        return self.with_row_losses(
            losses,
            labels,
            rows_of,
            outputs,
            classify=last,
            layers=partial(self._layer_rows, hidden_states, by_layer),
        )

    def _layer_rows(
        self,
        hidden_states: Tensor,
        assigned: Sequence[Sequence[Tensor | None]],
    ) -> list[tuple[Tensor, Tensor]]:
        """As a `Batch` has them: without queries that denoise."""
        found = []
        for states, layer in zip(hidden_states, assigned):
            labels = [one for one in layer if one is not None]
            rows = [x[-len(one) :] for x, one in zip(states, labels)]
            own = torch.cat(labels)
            own = own.masked_fill(own == OUTLIER, IGNORE)  # flagged
            found.append((torch.cat(rows), self.batch_labels(own)))
        return found

    def _get_dn_targets_single(
        self, gt_instances: InstanceData, *args, **kwargs
    ) -> tuple:
        """As DINO's, whose queries to denoise are of known objects alone."""
        known = gt_instances[gt_instances.labels >= 0]
        return super()._get_dn_targets_single(known, *args, **kwargs)

    def predict(
        self, hidden_states: Tensor, *args, **kwargs
    ) -> list[InstanceData]:
        last = self._last_layer(hidden_states)
        with record_calls(last) as calls:
            results = super().predict(hidden_states, *args, **kwargs)
        features, logits = calls[-1]
        if features.dim() == 4:
            features, logits = features[-1], logits[-1]
        return [
            self._judged(boxes, last, *parts)
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
        self,
        boxes: InstanceData,
        layer: nn.Module,
        features: Tensor,
        logits: Tensor,
    ) -> InstanceData:
        """The boxes of an image, scored by what ``layer`` makes of queries."""
        places = boxes.pop('queries')
        rows, classes = logits[places], self.num_known
        is_sigmoid = self.scores.kind == 'sigmoid'
        p = rows.sigmoid() if is_sigmoid else rows.softmax(-1)
        boxes.max_class_scores = p[:, :classes].amax(1)
        samples = Samples(
            logits=rows[:, :classes],
            features=features[places],
            kind=self.scores.kind,
            classifier=linear_of(layer, classes),
        )
        boxes = self.judge(boxes, samples)
        if self.unknown_class and not self.keeps_samples:
            boxes.is_ood = boxes.labels == classes
        return boxes
