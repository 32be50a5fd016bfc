"""A segmentor of MMSegmentation that also says what it does not know.

Shapes: B images, K classes, C feature channels, H x W pixels, h x w cells of
a feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor

from mmood.registry import MODELS
from mmood.scores import (
    FirstThreshold,
    LinearClassifier,
    Samples,
    ScoreSet,
    class_logits,
)
from mmood.scores.samples import ScoreConfig

from .extraction import OneExtraction
from .feature_probe import keep_probes, probe_for, why_no_classifier
from .fitting import FitsScores
from .frozen import FrozenTraining
from .mask_heads import (
    kind_of,
    metas_of_window,
    record_queries,
    why_no_queries,
)
from .pixel_training import PixelTraining
from .windows import (
    both_classes,
    mean_of_windows,
    noise_key,
    row_scores,
    unpadded,
    window_boxes,
)

_UPSAMPLE = ('nearest', 'bilinear')


@MODELS.register_module()
class OODEncoderDecoder(
    FirstThreshold,
    FitsScores,
    FrozenTraining,
    PixelTraining,
    OneExtraction,
    EncoderDecoder,
):
    """Any `EncoderDecoder` of mmseg with OOD scores for each pixel.

    Class maps, logits, state keys and the training are the parent's. Each
    predicted sample also has ``pred_ood``, a PixelData of score maps (1, H,
    W) in the image's original size, higher is more OOD: one of each score by
    its name, ``data``, that of the first score, and ``is_ood`` where it
    exceeds its threshold.

    Scores of the logits are those of the full-size logits; a score must
    judge each pixel by itself, since they are taken row by row. Scores that
    read features are taken at the features' resolution in each window and
    averaged over windows as the logits are.

    With ``losses`` the segmentor comes from ``load_from``, stays in eval
    mode and gets no gradients: the losses alone are trained, on the features
    of images or on cached ones. With ``pixel_losses`` it learns as the
    parent does, from them too.

    Args:
        scores: see `mmood.scores.ScoreSet`.
        losses: configs of losses on features, e.g. ``mmood.DenoisingLoss``.
        pixel_losses: configs of losses on pixels, e.g. ``mmood.RbALoss``.
        outlier_label: of the pixels of outliers, for ``pixel_losses``.
        supervised: whether the parent's losses count beside them.
        trains: names of the parameters that learn, or of the parts that they
            are in, such as ``'decode_head.cls_embed'``; all else stays in
            eval mode, as it comes from ``load_from``. None: all learn.
        probe: arguments of `FeatureProbe`, which finds the features; None:
            the decode head's own, if it has some, what the classifier gets,
            if all scores of features read it, or the last attention keys.
        upsample: of scores of features: ``'nearest'``, as in DOoD's public
            code, or ``'bilinear'``.

    Raises ValueError as `ScoreSet` does, for scores of features without a
    probe, for losses that do not fit the segmentor or each other, and for
    names of no parameter.
    """

    exact_buffers = ('ood_threshold',)

    def __init__(
        self,
        *args,
        scores: Sequence[ScoreConfig],
        losses: Sequence[dict] = (),
        pixel_losses: Sequence[dict] = (),
        outlier_label: int = 254,
        supervised: bool = True,
        trains: Sequence[str] | None = None,
        probe: dict | None = None,
        upsample: str = 'nearest',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if upsample not in _UPSAMPLE:
            raise ValueError(
                f'upsample must be one of {_UPSAMPLE}, got {upsample!r}'
            )
        self.upsample, self.keeps_samples = upsample, False
        self._windows: list[tuple[dict, Samples | None]] | None = None
        self.probe = probe_for(scores, losses, probe, self)
        keep_probes(self)
        channels = None if self.probe is None else self.probe.width(self)
        self._freeze(trains)
        self._build_losses(losses, channels)
        self._build_pixel_losses(pixel_losses, outlier_label, supervised)
        for loss in self.losses.values():
            channels = channels or getattr(loss, 'channels', None)
        self.scores = ScoreSet(
            scores,
            num_classes=max(self.out_channels, 2),
            channels=channels,
            kind=kind_of(self.decode_head),
            losses=self.learned,
            missing=dict(
                classifier=why_no_classifier(self.probe),
                queries=why_no_queries(self.decode_head),
            ),
        )
        self.sort_scores()

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        self.check_weights()
        self._windows = []
        return super().inference(inputs, batch_img_metas)

    def encode_decode(
        self, inputs: Tensor, batch_img_metas: list[dict]
    ) -> Tensor:
        """The parent's; notes the scores of this window."""
        decode = super().encode_decode
        metas = batch_img_metas
        if self.scores.kind == 'mask':
            metas = metas_of_window(metas, inputs)
        if self._windows is None or not self._of_windows:
            return decode(inputs, metas)
        again = bool(self._of_windows & self.reading('inputs'))
        with self.extracting_once(again):
            logits, window = self._scored_pass(decode, inputs, metas)
        self._windows.append(window)
        return logits

    def _scored_pass(
        self,
        decode: Callable[[Tensor, list[dict]], Tensor],
        inputs: Tensor,
        metas: list[dict],
    ) -> tuple[Tensor, tuple[dict[str, Tensor], Samples | None]]:
        """The logits of a window, its scores, and what these are of."""
        probe, head = self.probe, self.decode_head
        recording = probe.record(self) if probe else nullcontext()
        asking = record_queries(head) if self._of_queries else nullcontext()
        with recording as maps, asking as queries:
            logits = decode(inputs, metas)

        def view(images: Tensor) -> Samples:
            found = both_classes(decode(images, metas))
            return Samples(logits=found, kind=self.scores.kind)

        features = maps[-1] if maps else None
        classifier = None if probe is None else probe.linear(self)
        height, width = logits.shape[-2:]
        size = height, width
        pixels = Samples(
            logits=both_classes(logits),
            kind=self.scores.kind,
            inputs=inputs,
            view=view,
            queries=replace(queries[-1], size=size) if queries else None,
            keys=[*map(noise_key, metas, inputs)],
        )
        cells = replace(
            pixels,
            features=features,
            logits=self._logits_of_cells(logits, features, classifier),
            classifier=classifier,
        )
        names = self._of_windows
        if self.keeps_samples:
            names = names & self.scores.compounded
        scores = self.scores(cells, names & self._of_cells)
        scores.update(self.scores(pixels, names - self._of_cells))
        kept = replace(cells, inputs=None, view=None)
        return logits, (scores, kept if self.keeps_samples else None)

    def scored_window(
        self,
        inputs: Tensor,
        batch_img_metas: list[dict],
        names: Sequence[str],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of a window, and what those scores of features say."""
        self._windows, self._of_windows = [], self._of_windows & set(names)
        logits = self.encode_decode(inputs, batch_img_metas)
        windows, self._windows = self._windows, None
        return logits, windows[0][0] if windows else {}

    def _logits_of_cells(
        self,
        logits: Tensor,
        features: Tensor | None,
        classifier: LinearClassifier | None,
    ) -> Tensor | None:
        """Logits (B, K, h, w) for scores that read them beside features."""
        if features is None or not self._of_cells & self.reading('logits'):
            return None
        if classifier is not None:
            return classifier(features)
        size, corners = features.shape[-2:], self.align_corners
        logits = both_classes(logits.float())
        return resize(logits, size, None, 'bilinear', corners, False)

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list | None = None
    ) -> list[SegDataSample]:
        windows, self._windows = self._windows or [], None
        size = tuple(seg_logits.shape[-2:])
        boxes = window_boxes(size, self.test_cfg)
        merged = {
            name: mean_of_windows(
                [scores[name] for scores, _ in windows], boxes, self.resized
            )
            for name in (windows[0][0] if windows else ())
        }
        samples = super().postprocess_result(seg_logits, data_samples)
        for i, sample in enumerate(samples):
            values = {name: value[i] for name, value in merged.items()}
            if data_samples is not None:
                values = {
                    name: self._to_original(name, value, sample.metainfo)
                    for name, value in values.items()
                }
            if self.keeps_samples:
                sample.window_scores = values
                sample.windows = [
                    (box, seen[i : i + 1])
                    for box, (_, seen) in zip(boxes, windows)
                    if seen is not None
                ]
            else:
                logits = class_logits(sample.seg_logits.data)
                sample.pred_ood = self._all_scores(logits[None], values)
        return samples

    def _all_scores(
        self, logits: Tensor, values: dict[str, Tensor]
    ) -> PixelData:
        """Of logits (1, K, H, W) and the scores (1, H, W) of features."""
        seen = Samples(logits, kind=self.scores.kind, values=values)
        found = {**values, **row_scores(self.scores, seen, self._of_pixels)}
        if not found:  # none of the scores is fitted yet
            found = row_scores(self.scores, seen)
        maps = {n: found[n] for n in self.scores.names if n in found} or found
        first = next(iter(maps))
        is_ood = maps[first] > self.scores.thresholds[first]
        return PixelData(
            metainfo=dict(score_names=tuple(maps)),
            **maps,
            data=maps[first],
            is_ood=is_ood,
        )

    def _to_original(self, name: str, score: Tensor, meta: dict) -> Tensor:
        """Undo padding, flip and resizing of a map (1, H, W)."""
        upsample = self.upsample if name in self._of_cells else 'bilinear'
        maps, size = unpadded(score, meta)[None], meta['ori_shape']
        return self.resized(maps, size, upsample)[0]

    def resized(
        self, scores: Tensor, size: Sequence[int], upsample: str | None = None
    ) -> Tensor:
        """(B, 1, h, w) -> (B, 1, *size)."""
        if tuple(scores.shape[-2:]) == tuple(size):
            return scores
        mode = upsample or self.upsample
        corners = None if mode == 'nearest' else self.align_corners
        return resize(scores, tuple(size), None, mode, corners, False)
