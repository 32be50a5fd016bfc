"""A segmentor as an ONNX graph: one picture in, classes and OOD maps out.

Shapes: K classes, H x W pixels that the network sees, h x w of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmood.deploy import ops
from mmood.deploy.export import Plan
from mmood.deploy.pipeline import describe, multiples
from mmood.deploy.trace import choose_scores, known_thresholds, traceable
from mmood.scores import Samples

from .models.ood_segmentor import OODEncoderDecoder
from .models.windows import both_classes

_NAME = 'picture'  # by which noise is drawn, the same for all


class SegmentorGraph(nn.Module):
    """Classes (1, h, w) and OOD scores (1, h, w) of a picture (1, 3, H, W).

    ``inner`` (2,) is the picture's size without padding, ``size`` (2,) the
    original one, to which logits are resized before they are judged, as
    MMSegmentation does. With a ``threshold`` there is also ``is_ood`` of the
    first score.
    """

    def __init__(
        self,
        model: OODEncoderDecoder,
        names: Sequence[str],
        threshold: float | None,
    ) -> None:
        super().__init__()
        self.model: OODEncoderDecoder = model
        self.names, self.threshold = names, threshold

    def forward(
        self, image: Tensor, inner: Tensor, size: Tensor
    ) -> tuple[Tensor, ...]:
        model, shape = self.model, tuple(image.shape[2:])
        meta = dict(img_shape=shape, img_path=_NAME)
        logits, of_features = model.scored_window(image, [meta], self.names)
        corners = model.align_corners
        logits = ops.fit(logits, inner, size, 'bilinear', corners)
        values = {}
        for name, value in of_features.items():
            value = model.resized(value[:, None].float(), shape)
            fitted = ops.fit(value, inner, size, model.upsample, corners)
            for dim in (2, 3):
                torch._check(fitted.shape[dim] == logits.shape[dim])
            values[name] = fitted[:, 0]
        if logits.shape[1] == 1:
            classes = logits[:, 0].sigmoid() > model.decode_head.threshold
        else:
            classes = logits.argmax(1)
        seen = Samples(
            both_classes(logits), kind=model.scores.kind, values=values
        )
        rest = [name for name in self.names if name not in values]
        values.update(model.scores(seen, rest))
        maps = [values[name].float() for name in self.names]
        outputs = [classes.long(), *maps]
        if self.threshold is not None:
            outputs.append(maps[0] > self.threshold)
        return tuple(outputs)


def plan(
    model: nn.Module,
    pipeline: Sequence[dict],
    names: Sequence[str] | None = None,
) -> Plan:
    """How a segmentor is exported, with these scores, or all of them.

    ``pipeline``: the configs of the test pipeline. Raises ValueError for a
    segmentor that cannot be exported, with the reason.
    """
    if not isinstance(model, OODEncoderDecoder):
        raise ValueError(
            f'{type(model).__name__} has no scores: it must be an '
            'mmood.OODEncoderDecoder'
        )
    mode = model.test_cfg.get('mode', 'whole')
    if mode != 'whole':
        raise ValueError(
            f'test_cfg.mode={mode!r} looks at several windows of a picture, '
            "and the ONNX graph looks once: set test_cfg.mode='whole'"
        )
    if model.scores.kind == 'mask':
        raise ValueError(
            f'{type(model.decode_head).__name__} cannot be exported: masks of '
            'queries, and the attention that finds them, are no part of the '
            'ONNX graph. Export a segmentor whose head judges pixels'
        )
    names, left_out = choose_scores(model.scores, names)
    about = describe(pipeline, model.data_preprocessor)
    thresholds = known_thresholds(model.scores, names)
    about.update(
        task='segmentation',
        classes=list(model.dataset_meta['classes']),
        scores=names,
        thresholds=thresholds,
    )
    threshold = thresholds.get(names[0])
    traced = traceable(model, multiples(about))
    graph = SegmentorGraph(traced, names, threshold)
    outputs = ['classes', *(f'ood_scores_{name}' for name in names)]
    outputs += [] if threshold is None else ['is_ood']
    return Plan(graph, ('image', 'inner', 'size'), outputs, about, left_out)
