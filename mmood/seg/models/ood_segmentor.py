"""A segmentor of MMSegmentation that also says what it does not know.

Shapes: B images, K classes, C feature channels, H x W pixels.
"""

from __future__ import annotations

import os.path as osp
import zlib
from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor

from mmood.registry import MODELS
from mmood.scores import Thresholded, Thresholds, class_logits, energy

from .feature_probe import FeatureProbe

_UPSAMPLE = ('nearest', 'bilinear')
_PARTS = ('backbone.', 'neck.', 'decode_head.')


@MODELS.register_module()
class OODEncoderDecoder(Thresholded, EncoderDecoder):
    """Stock segmentor, frozen, with an OOD head on one of its features.

    Training trains the OOD head alone: the segmentor comes from
    ``load_from``, stays in eval mode and gets no gradients. Class maps and
    logits at test are the parent's. Each sample also has ``pred_ood``, a
    PixelData of score maps (1, H, W) in the image's original size, higher is
    more OOD: ``diffusion``, ``compound`` where it is asked for, ``data``,
    the last of them, and ``is_ood`` where ``data`` exceeds its threshold.
    ``ood_thresholds`` has one of each score by name, nan until
    `mmood.CalibrateOODHook` fits it on ID images (95 % of their pixels lie
    below); ``ood_threshold`` is that of ``data``.

    Args:
        ood_head: config of the head, e.g. ``mmood.DOoDHead``.
        probe: arguments of `FeatureProbe`.
        compound: also average the score with the segmentation uncertainty,
            ``-logsumexp`` of the logits (DOoD, ECCV 2024, Sec. 5.3).
        upsample: ``'nearest'``, as in DOoD's public code, or ``'bilinear'``.
    """

    def __init__(
        self,
        *args,
        ood_head: dict,
        probe: dict | None = None,
        compound: bool = True,
        upsample: str = 'nearest',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if upsample not in _UPSAMPLE:
            raise ValueError(
                f'upsample must be one of {_UPSAMPLE}, got {upsample!r}'
            )
        self.requires_grad_(False)
        self.ood_head = MODELS.build(ood_head)
        self.probe = FeatureProbe(**(probe or dict(keys=-1)))
        self.compound, self.upsample = compound, upsample
        self._skips_unfitted = False
        names = ('compound', 'diffusion') if compound else ('diffusion',)
        self.ood_thresholds = Thresholds(names)
        # The score map travels behind the logits, through sliding windows.
        self.out_channels += 1
        self._unfit: str | None = (
            'the segmentor has no trained weights: pass load_from (mim: '
            '--cfg-options load_from=SEGMENTOR.pth) with a checkpoint of it'
        )

    def train(self, mode: bool = True) -> OODEncoderDecoder:
        super().train(mode)
        for name, child in self.named_children():
            if name != 'ood_head':
                child.eval()
        return self

    # ----------------------------------------------------------- training
    def loss(
        self, inputs: Tensor | list[Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """Loss of the OOD head on images, or on a list of cached features.

        Cached features are (C, h, w) with labels in their samples for a head
        that needs maps, else vectors (n, C), mixed and valid already.
        """
        self.check_weights()
        if isinstance(inputs, list):
            if not self.ood_head.needs_maps:
                return self.ood_head.loss_vectors(torch.cat(inputs))
            return self.ood_head.loss(
                torch.stack(inputs), _labels(data_samples)
            )
        features = self.extract_features(inputs)
        return self.ood_head.loss(features, _labels(data_samples))

    @torch.no_grad()
    def extract_features(self, inputs: Tensor) -> Tensor:
        """The probed features of images, (B, 3, H, W) -> (B, C, h, w)."""
        self.check_weights()
        in_backbone = (self.probe.module or 'backbone').startswith('backbone')
        run = self.extract_feat if in_backbone else self._forward
        with self.probe.record(self) as maps:
            run(inputs)
        return maps[-1]

    # ------------------------------------------------------------ testing
    def encode_decode(
        self, inputs: Tensor, batch_img_metas: list[dict]
    ) -> Tensor:
        """Logits and, as one channel more, the score: (B, K + 1, H, W)."""
        self.check_weights()
        with self.probe.record(self) as maps:
            logits = super().encode_decode(inputs, batch_img_metas)
        keys = [
            _image_key(meta, image)
            for meta, image in zip(batch_img_metas, inputs)
        ]
        scores = self.ood_head.score_maps(maps[-1], keys)[:, None]
        scores = self._resize(scores, logits.shape[-2:])
        return torch.cat([logits.float(), scores], 1)

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list | None = None
    ) -> list[SegDataSample]:
        logits, scores = seg_logits[:, :-1], seg_logits[:, -1:]
        samples = super().postprocess_result(logits, data_samples)
        for sample, score in zip(samples, scores):
            if data_samples is not None:
                score = self._to_original(score, sample.metainfo)
            sample.pred_ood = self._all_scores(score, sample.seg_logits.data)
        return samples

    def _all_scores(self, diffusion: Tensor, logits: Tensor) -> PixelData:
        maps = dict(diffusion=diffusion)
        if self.compound and (self.is_fitted or not self._skips_unfitted):
            uncertainty = energy(class_logits(logits), dim=0)[None]
            maps['compound'] = self.ood_head.compound(uncertainty, diffusion)
        name, last = next(reversed(maps.items()))
        is_ood = last > self.ood_thresholds[name]
        return PixelData(**maps, data=last, is_ood=is_ood)

    def _to_original(self, score: Tensor, meta: dict) -> Tensor:
        """Undo padding, flip and resizing of a map (1, H, W)."""
        padding = meta.get('padding_size', [0] * 4)
        left, right, top, bottom = meta.get('img_padding_size', padding)
        height, width = score.shape[-2:]
        score = score[:, top : height - bottom, left : width - right]
        if meta.get('flip'):
            is_vertical = meta['flip_direction'] == 'vertical'
            score = score.flip(1 if is_vertical else 2)
        return self._resize(score[None], meta['ori_shape'])[0]

    def _resize(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, 1, h, w) -> (B, 1, *size)."""
        if tuple(scores.shape[-2:]) == tuple(size):
            return scores
        is_nearest = self.upsample == 'nearest'
        corners = None if is_nearest else self.align_corners
        return resize(scores, tuple(size), None, self.upsample, corners, False)

    # ------------------------------------------------------------ fitting
    needs_fit = True

    @property
    def is_fitted(self) -> bool:
        """Whether the compound score has its statistics."""
        return bool(torch.isfinite(self.ood_head.score_std).all())

    def skip_unfitted(self, skip: bool) -> None:
        """Whether to predict without a compound score that has no fit."""
        self._skips_unfitted = skip

    def start_fit(self) -> None:
        """Predict without the compound score, which waits for the fit."""
        self._fit_sums = self.ood_head.score_mean.new_zeros(
            (3, 2), dtype=torch.float64
        )
        self._compound_after, self.compound = self.compound, False

    def update_fit(self, sample: SegDataSample) -> None:
        """Add the valid pixels of an image."""
        self._fit_sums += _score_sums(sample).to(self._fit_sums)

    def finish_fit(self, classes: Sequence[str] | None = None) -> str:
        """Means and deviations of both scores over all ranks' pixels.

        DOoD (ECCV 2024), Sec. 5.3; they go to ``ood_head``'s buffers.
        Raises ValueError if no pixel is valid.
        """
        all_reduce(self._fit_sums)
        count, total, squares = self._fit_sums
        if not count.all():
            raise ValueError(
                'no valid pixel to fit the scores on: check the labels and '
                'ignored ids of the ID training images'
            )
        mean = total / count
        variance = squares / count - mean**2
        variance = variance * count / (count - 1).clamp(min=1)
        std = variance.clamp(min=0).sqrt()
        self.ood_head.set_statistics(mean, std)
        return (
            'ID scores: segmentation uncertainty '
            f'{mean[0]:.4f} ± {std[0]:.4f}, diffusion {mean[1]:.4f} ± '
            f'{std[1]:.4f}'
        )

    def end_fit(self) -> None:
        """Predict as usual again."""
        self.compound = self._compound_after

    # ------------------------------------------------------------ weights
    def check_weights(self) -> None:
        """Raise RuntimeError unless the segmentor has a checkpoint's."""
        if self._unfit:
            raise RuntimeError(self._unfit)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Remember whether the checkpoint fits the segmentor.

        MMEngine only warns of weights that are missing, left over or of
        another shape, and features of such a segmentor are worth nothing.
        """
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        own = {prefix + k: v.shape for k, v in self.state_dict().items()}
        given = {k: v.shape for k, v in state_dict.items()}
        parts = tuple(prefix + part for part in _PARTS)
        wrong = [
            name
            for name in {**own, **given}
            if name.startswith(parts) and own.get(name) != given.get(name)
        ]
        self._unfit = wrong and (
            f'{len(wrong)} weights of the segmentor are not in the '
            'checkpoint, not in the model, or of another shape, such as '
            f'{wrong[0]}: load_from must be a checkpoint of the segmentor '
            'that the config describes'
        )


def _labels(data_samples: list[SegDataSample]) -> Tensor:
    return torch.cat([sample.gt_sem_seg.data for sample in data_samples])


def _score_sums(sample: SegDataSample) -> Tensor:
    """Number, sum and sum of squares (3, 2) over the valid pixels."""
    label = sample.gt_sem_seg.data
    scores = torch.stack(
        [
            energy(class_logits(sample.seg_logits.data), dim=0)[None],
            sample.pred_ood.diffusion,
        ]
    )
    if label.shape != scores.shape[1:]:
        scores = torch.nn.functional.interpolate(
            scores, tuple(label.shape[-2:]), mode='nearest-exact'
        )
    values = scores[:, label.to(scores.device) != 255].double()
    return torch.stack(
        [torch.ones_like(values).sum(1), values.sum(1), values.square().sum(1)]
    )


def _image_key(meta: dict, image: Tensor) -> str | int:
    """The file's name; without a file the content."""
    if meta.get('img_path'):
        return osp.basename(meta['img_path'])
    return zlib.crc32(image.detach().cpu().contiguous().numpy().tobytes())
