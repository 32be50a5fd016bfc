"""The diffusion model of DOoD (ECCV 2024) on the features of a segmentor.

Shapes: B images, C channels, h x w the feature map, H x W the label map, N
feature vectors. Times count from 0, one step of noise.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Hashable, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmood.diffusion import DenoisingUNet, GaussianDiffusion
from mmood.ops import FeatureRange, ShuffleBuffer
from mmood.registry import MODELS
from mmood.scores import diffusion_score


@MODELS.register_module()
class DOoDHead(BaseModule):
    """Learn to denoise ID features; score features by how badly it works.

    Args:
        channels: C of the probed features.
        denoiser: ``mmood.DenoisingMLP`` on single vectors, or
            ``mmood.DenoisingUNet`` on maps (Fig. 5's comparison).
        diffusion: arguments of `mmood.diffusion.GaussianDiffusion`.
        score: arguments of `mmood.scores.diffusion_score`: ``kind``,
            ``weighted``, ``chunk_size``, and ``timesteps``, a number T for
            0..T-1 (the paper's 1..T) or a list.
        batch_size: vectors per training step and process.
        buffer_size: vectors that the shuffle buffer holds.
        per_channel: see `mmood.ops.FeatureRange`.
        seed: of the noise at test time.
        ignore_index: label of pixels whose features are left out.

    Buffers, besides the feature range: ``score_mean`` and ``score_std`` (2,)
    of the segmentation uncertainty and of the diffusion score over ID
    training pixels, nan until `mmood.hooks.FitScoresHook` or
    ``tools/fit_scores.py`` fits them.
    """

    exact_buffers = ('score_mean', 'score_std', 'fitted_for')

    def __init__(
        self,
        channels: int,
        denoiser: dict | None = None,
        *,
        diffusion: dict | None = None,
        score: dict | None = None,
        batch_size: int = 4096,
        buffer_size: int = 65536,
        per_channel: bool = False,
        seed: int = 0,
        ignore_index: int = 255,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if batch_size < 1:
            raise ValueError(f'batch_size must be positive, got {batch_size}')
        self.channels, self.batch_size = channels, batch_size
        self.seed, self.ignore_index = seed, ignore_index
        self.diffusion = GaussianDiffusion(**(diffusion or {}))
        denoiser = dict(denoiser or {})
        denoiser.setdefault('type', 'mmood.DenoisingMLP')
        denoiser.setdefault('num_steps', self.diffusion.num_steps)
        self.denoiser = MODELS.build({**denoiser, 'channels': channels})
        self.needs_maps = isinstance(self.denoiser, DenoisingUNet)
        self.score = _score_arguments(score)
        self.feature_range = FeatureRange(channels, per_channel)
        self.buffer = ShuffleBuffer(buffer_size)
        for name in ('score_mean', 'score_std'):
            self.register_buffer(name, torch.full((2,), float('nan')))
        self.register_buffer('fitted_for', torch.tensor(0))

    def forget(self) -> None:
        """Forget the statistics of the ID scores."""
        self.score_mean.fill_(float('nan'))
        self.score_std.fill_(float('nan'))
        self.fitted_for.zero_()

    # ----------------------------------------------------------- training
    def loss(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Denoising loss of maps (B, C, h, w) with labels (B, H, W).

        Raises ValueError for maps of another width than ``channels``.
        """
        self._check_width(features.shape[1])
        features = features.float()
        valid = downsample(labels, features.shape[-2:]) != self.ignore_index
        vectors = features.permute(0, 2, 3, 1)[valid]
        if self.needs_maps:
            self.feature_range.update(vectors)
            if not valid.any():
                return self._no_loss()
            # Keys lie channels last, on which torch 2.13's CPU convolutions
            # have crashed going backward.
            return self._denoising_loss(features.contiguous(), valid)
        if len(vectors):
            chosen = torch.randperm(len(vectors), device=vectors.device)
            self.buffer.add(vectors[chosen[: self.batch_size]])
        self.feature_range.update(vectors)
        if not len(self.buffer):
            return self._no_loss()
        return self._denoising_loss(self.buffer.draw(self.batch_size))

    def loss_vectors(self, vectors: Tensor) -> dict[str, Tensor]:
        """Denoising loss of a batch (N, C) that is mixed already."""
        self._check_width(vectors.shape[1])
        vectors = vectors.float()
        self.feature_range.update(vectors)
        return self._denoising_loss(vectors)

    def _denoising_loss(
        self, x: Tensor, valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``mean |noise - predicted|^2`` (DOoD, Eq. 5) over valid pixels."""
        x0 = self.feature_range(x)
        t, noise = self._perturbation(x0)
        predicted = self.denoiser(self.diffusion.q_sample(x0, t, noise), t)
        error = (predicted.float() - noise).square().mean(1)
        error = error if valid is None else error[valid]
        return dict(loss_denoise=error.mean())

    def _perturbation(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.randint(
            self.diffusion.num_steps, (len(x0),), device=x0.device
        )
        return t, torch.randn_like(x0)

    def _no_loss(self) -> dict[str, Tensor]:
        """Zero, from all parameters, so that other ranks need not wait."""
        total = sum(p.sum() for p in self.denoiser.parameters())
        return dict(loss_denoise=0 * total)

    def _check_width(self, channels: int) -> None:
        if channels != self.channels:
            raise ValueError(
                f'the features have {channels} channels and ood_head was '
                f'built for {self.channels}: set ood_head.channels to '
                f'{channels}, or probe the layer it was trained on'
            )

    # ------------------------------------------------------------ scoring
    @torch.no_grad()
    def score_maps(
        self, features: Tensor, image_keys: Sequence[Hashable]
    ) -> Tensor:
        """Diffusion score of each feature, (B, C, h, w) -> (B, h, w).

        The noise comes from a generator seeded by ``seed`` and the image's
        key, so an image has the same map in any batch, order and rank, within
        rounding and on one kind of device: CPU and GPU have different
        generators.
        """
        self._check_width(features.shape[1])
        batch, size = len(features), features.shape[-2:]
        with torch.autocast(features.device.type, enabled=False):
            x0 = self.feature_range(features.float()).contiguous()
            if not self.needs_maps:  # (B h w, C)
                x0 = x0.permute(0, 2, 3, 1).flatten(0, 2)
            scores = diffusion_score(
                self.denoiser,
                self.diffusion,
                x0,
                generator=[self._generator(k, x0.device) for k in image_keys],
                **self.score,
            )
        return scores.reshape(batch, *size)

    def _generator(
        self, key: Hashable, device: torch.device
    ) -> torch.Generator:
        seed = zlib.crc32(repr((self.seed, key)).encode())
        return torch.Generator(device).manual_seed(seed)

    def compound(self, uncertainty: Tensor, diffusion: Tensor) -> Tensor:
        """Mean of the two scores, each standardized, any shape -> the same.

        DOoD (ECCV 2024), Sec. 5.3. Raises RuntimeError if the statistics
        are not fitted, or were fitted for another kind of score.
        """
        if not torch.isfinite(self.score_std).all():
            raise RuntimeError(
                'the checkpoint has no statistics of the ID scores, which '
                'the compound score needs: run tools/fit_scores.py CONFIG '
                'CHECKPOINT, or train with mmood.FitScoresHook in '
                'custom_hooks'
            )
        if int(self.fitted_for) != self._signature():
            raise RuntimeError(
                'the statistics of the ID scores were fitted for another '
                f'ood_head.score than {self.score}: run tools/fit_scores.py '
                'with this config'
            )
        mean, std = self.score_mean, self.score_std
        return (
            (uncertainty - mean[0]) / std[0] + (diffusion - mean[1]) / std[1]
        ) / 2

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Store means and deviations (2,): uncertainty, diffusion."""
        self.score_mean.copy_(mean)
        self.score_std.copy_(std.clamp(min=1e-12))
        self.fitted_for.fill_(self._signature())

    def _signature(self) -> int:
        """A number for what decides the scale of the diffusion score."""
        what = {k: v for k, v in self.score.items() if k != 'chunk_size'}
        return zlib.crc32(json.dumps(what, sort_keys=True).encode())


def _score_arguments(score: dict | None) -> dict:
    arguments = {'kind': 'cosine', 'timesteps': 25, 'weighted': True}
    arguments.update(score or {})
    timesteps = arguments['timesteps']
    steps = range(timesteps) if isinstance(timesteps, int) else timesteps
    arguments['timesteps'] = list(steps)
    return arguments


def downsample(labels: Tensor, size: Sequence[int]) -> Tensor:
    """The label at the centre of each cell, (B, H, W) -> (B, h, w)."""
    labels = F.interpolate(
        labels[:, None].float(), tuple(size), mode='nearest-exact'
    )
    return labels[:, 0].long()
