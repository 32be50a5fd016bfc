"""One-stage heads whose boxes say how unknown they are.

Shapes: B images, L levels, A priors of a position, n boxes kept of one image,
K known classes (K + 1 logits with background), C channels of the maps that
are classified, (H, W) their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmood.necks.pyramid import collect_losses
from mmood.scores import Samples
from mmood.scores.classifier import linear_of, why_not_linear

from .flags import with_flagged
from .places import PlacedBoxes, rows_at
from .roi_tools import maps_of, record_calls
from .rows import RowAdapter

_NO_INPUTS = 'a one-stage head classifies maps, not pooled boxes'
_NO_LAYER = 'the logits are not the outputs of one layer'
# What a head of another kind may raise.
_SURPRISES = (
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
# All boxes of a map of a few pixels.
_TRIAL = ConfigDict(
    nms_pre=8,
    min_bbox_size=0,
    score_thr=-1.0,
    nms=dict(type='nms', iou_threshold=0.5),
    max_per_img=4,
)


class DenseAdapter(RowAdapter, PlacedBoxes):
    """OOD scores of the boxes of a one-stage head, anchor-based or not.

    What boxes get: see `BoxAdapter`. Logits are those of the prior that a
    box comes from: of a sigmoid head each class's for itself (the kind
    ``'sigmoid'``), of a softmax head the K known ones. Features (C,) are
    what the layer that makes the logits sees there, of a 3 x 3 convolution
    its centre. ``max_class_scores`` has the same share as the box's own
    confidence, where a centerness or an objectness lowers it.

    Losses see the priors that are assigned to objects, and three times as
    many of the background. Those on the neck's other maps, such as blurred
    ones, come from a second pass of the head; no paper has that.

    Raises ValueError for a head whose boxes lose their priors on the way,
    and for scores, losses and outliers that read what is not there.
    """

    collects_losses = True
    # Per level, what its logits come out of; not parts of their own.
    _layers: tuple[nn.Conv2d, ...]

    def equip(
        self,
        scores: Sequence[str | dict],
        losses: Sequence[dict] = (),
        outliers: dict | None = None,
    ) -> None:
        """What the parent's constructor does not know."""
        self._cls_scores: list[Tensor] = []
        self._layers = self._try()
        layers = set(self._layers)
        reason = _why_not_linear(layers, self._num_priors)
        self._is_linear = not reason
        missing = dict(classifier=reason, inputs=_NO_INPUTS)
        lacking = dict(inputs=_NO_INPUTS, ious=_NO_INPUTS)
        if not layers:
            missing['features'] = _NO_LAYER
            lacking.update(look=_NO_LAYER, flagged=_NO_LAYER)
        if reason:
            lacking['classify'] = reason
        self.add_scores(
            scores,
            losses,
            outliers,
            channels=self._layers[0].in_channels if layers else None,
            kind='sigmoid' if self._is_sigmoid else 'softmax',
            missing=missing,
            lacking=lacking,
        )

    @property
    def _is_sigmoid(self) -> bool:
        return self.cls_out_channels == self.num_classes

    @torch.no_grad()
    def _try(self) -> tuple[nn.Conv2d, ...]:
        """What the logits of each level come out of, by a pass over zeros.

        Empty if that is no layer. Raises ValueError for a head that does not
        work like those this adapter is made for.
        """
        name = type(self).__name__
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            outputs, made = self._pass(self._empty_maps())
            meta = dict(img_shape=(64, 64), scale_factor=(1.0, 1.0))
            boxes = self.predict_by_feat(
                *outputs, batch_img_metas=[meta], cfg=_TRIAL
            )[0]
        except _SURPRISES as error:
            raise ValueError(
                f'{name} does not work like the one-stage heads that can have '
                f'scores ({type(error).__name__}: {error})'
            ) from error
        finally:
            for module, mode in modes.items():
                module.training = mode
        if 'places' not in boxes or boxes.bboxes.shape[-1] != 4:
            raise ValueError(
                f'{name} cannot have scores: it makes its boxes in a way that '
                'does not tell of which prior each one is'
            )
        self._num_priors = outputs[0][0].shape[1] // self.cls_out_channels
        keys = [id(logits) for logits in outputs[0]]
        is_made = all(key in made for key in keys)
        return tuple(made[key] for key in keys) if is_made else ()

    def _pass(
        self, maps: tuple[Tensor, ...]
    ) -> tuple[tuple, dict[int, nn.Conv2d]]:
        """The head's outputs, and by the id of each map its layer."""
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        with ExitStack() as stack:
            calls = [stack.enter_context(record_calls(m)) for m in layers]
            outputs = self(maps)
        made = {
            id(output): layer
            for layer, found in zip(layers, calls)
            for _, output in found
        }
        return outputs, made

    def _empty_maps(self) -> tuple[Tensor, ...]:
        like = next(self.parameters())
        widths = self.in_channels
        if isinstance(widths, int):
            widths = [widths] * self.prior_generator.num_levels
        return tuple(like.new_zeros(1, width, 4, 4) for width in widths)

    def loss(
        self, x: tuple[Tensor, ...], batch_data_samples: list, *args, **kwargs
    ) -> dict[str, Tensor]:
        samples, flags = with_flagged(batch_data_samples)
        if not (self.losses or flags):
            losses = super().loss(x, samples, *args, **kwargs)
            return {**losses, **collect_losses(x)}
        layers, kept = set(self._layers), self.targets_kept(flags)
        with record_calls(*layers) as calls, kept as labels:
            losses = super().loss(x, samples, *args, **kwargs)

        def look(name: str, detach: bool = False) -> Samples:
            with record_calls(*layers) as seen:
                self(maps_of(x, name, detach))
            given = [one for one in labels if one is not None]
            known = [(one >= 0).nonzero()[:, 0] for one in given]
            return self.samples_at(known, partial(self._rows, seen))

        losses = self.with_row_losses(
            losses,
            labels,
            partial(self._rows, calls),
            [logits for _, logits in calls],
            classify=self._classify if self._is_linear else None,
            look=look,
        )
        return {**losses, **collect_losses(x)}

    def _rows(
        self, calls: Sequence[tuple], image: int, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What `RowsOf` says, by ``calls`` of the layers, level by level."""
        features, logits = ([m[image] for m in part] for part in zip(*calls))
        count = self._num_priors
        return (
            rows_at(logits, places, count, count),
            rows_at(features, places, count),
        )

    def _classify(self, features: Tensor) -> Tensor:
        return self._layers[0](features[..., None, None])[..., 0, 0]

    def predict(
        self, x: tuple[Tensor, ...], *args, **kwargs
    ) -> list[InstanceData]:
        with record_calls(*set(self._layers)) as calls:
            results = super().predict(x, *args, **kwargs)
        logits, self._cls_scores = self._cls_scores, []
        seen = {id(output): maps for maps, output in calls}
        features = [seen[id(m)] for m in logits] if self._layers else None
        return [
            self._judged(boxes, i, logits, features)
            for i, boxes in enumerate(results)
        ]

    def _judged(
        self,
        boxes: InstanceData,
        image: int,
        logits: Sequence[Tensor],
        features: Sequence[Tensor] | None,
    ) -> InstanceData:
        """The boxes of an image, scored by the rows at their places."""
        places, count = boxes.pop('places'), self._num_priors
        rows = rows_at([m[image] for m in logits], places, count, count)
        p = rows.sigmoid() if self._is_sigmoid else rows.softmax(1)
        p = p[:, : self.num_classes]
        own = p.gather(1, boxes.labels[:, None])[:, 0]
        share = torch.where(own > 0, boxes.scores / own, 0)
        boxes.max_class_scores = torch.maximum(share * p.amax(1), boxes.scores)
        seen = None
        if features is not None:
            seen = rows_at([m[image] for m in features], places, count)
        return self.judge(boxes, self.samples_of(rows, seen))

    def samples_of(self, rows: Tensor, features: Tensor | None) -> Samples:
        """Of logits (n, K + extra) and features (n, C)."""
        classes = self.num_classes
        layer = self._layers[0] if self._is_linear else None
        return Samples(
            logits=rows[:, :classes],
            features=features,
            kind=self.scores.kind,
            classifier=linear_of(layer, classes),
        )

    def predict_by_feat(
        self, cls_scores: Sequence[Tensor], *args, **kwargs
    ) -> list[InstanceData]:
        self._cls_scores = list(cls_scores)
        return super().predict_by_feat(cls_scores, *args, **kwargs)


def _why_not_linear(layers: set[nn.Conv2d], num_priors: int) -> str:
    """Why features and logits are not tied by one `LinearClassifier`."""
    if not layers:
        return _NO_LAYER
    if len(layers) > 1:
        return 'each level has a layer of its own'
    if num_priors > 1:
        return f'it has other weights for each of {num_priors} anchors'
    return why_not_linear(next(iter(layers)))
