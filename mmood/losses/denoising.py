"""The diffusion model of DOoD on features, and the score that it gives.

Paper: Galesso et al., "Diffusion for Out-of-Distribution Detection on Road
Scenes and Beyond" (DOoD), ECCV 2024.

Shapes: B images, C channels, h x w the feature map, H x W the label map, N
feature vectors. Times count from 0, one step of noise.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.diffusion import DenoisingUNet, GaussianDiffusion
from mmood.ops import FeatureRange, ShuffleBuffer
from mmood.registry import MODELS
from mmood.scores import Samples, diffusion_score, register_score
from mmood.scores.fitted import rows
from mmood.scores.samples import KINDS

from .batch import Batch, OODLoss, find_loss


@MODELS.register_module()
class DenoisingLoss(OODLoss):
    """Learn to denoise ID features: ``mean |noise - predicted|^2``, Eq. 5.

    The features of a `Batch` are maps (B, C, h, w) with labels (B, H, W), or
    vectors (N, C) that are mixed already. Those of maps are mixed in a
    shuffle buffer first, unless the denoiser needs maps.

    Args:
        channels: C.
        denoiser: ``mmood.DenoisingMLP`` on single vectors, or
            ``mmood.DenoisingUNet`` on maps (Fig. 5's comparison).
        diffusion: arguments of `mmood.diffusion.GaussianDiffusion`.
        batch_size: vectors per training step and process.
        buffer_size: vectors that the shuffle buffer holds.
        per_channel: see `mmood.ops.FeatureRange`.
        ignore_index: label of pixels whose features are left out.

    Raises ValueError for a ``batch_size`` below 1, `forward` for features of
    another width than ``channels``, and for vectors if maps are needed.
    """

    def __init__(
        self,
        channels: int,
        denoiser: dict | None = None,
        *,
        diffusion: dict | None = None,
        batch_size: int = 4096,
        buffer_size: int = 65536,
        per_channel: bool = False,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f'batch_size must be positive, got {batch_size}')
        self.channels, self.batch_size = channels, batch_size
        self.ignore_index = ignore_index
        self.diffusion = GaussianDiffusion(**(diffusion or {}))
        denoiser = dict(denoiser or {})
        denoiser.setdefault('type', 'mmood.DenoisingMLP')
        denoiser.setdefault('num_steps', self.diffusion.num_steps)
        self.denoiser = MODELS.build({**denoiser, 'channels': channels})
        self.needs_maps = isinstance(self.denoiser, DenoisingUNet)
        self.feature_range = FeatureRange(channels, per_channel)
        self.buffer = ShuffleBuffer(buffer_size)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.check_width(batch.features)
        features = batch.features.float()
        if features.dim() == 2:
            return self._of_vectors(features)
        labels = downsample(batch.labels, features.shape[-2:])
        return self._of_maps(features, labels != self.ignore_index)

    def _of_vectors(self, vectors: Tensor) -> dict[str, Tensor]:
        if self.needs_maps:
            raise ValueError(
                f'{type(self.denoiser).__name__} denoises maps, got vectors: '
                'set maps=True in the mmood.FeatureDataset'
            )
        self.feature_range.update(vectors)
        if not len(vectors):
            return self._no_loss()
        return self._denoising_loss(vectors)

    def _of_maps(self, features: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Of the features (B, C, h, w) of the valid cells (B, h, w)."""
        vectors = features.permute(0, 2, 3, 1)[valid]
        self.feature_range.update(vectors)
        if self.needs_maps:
            if not len(vectors):
                return self._no_loss()
            # Attention keys lie channels last, on which torch 2.13's CPU
            # convolutions have crashed going backward.
            return self._denoising_loss(features.contiguous(), valid)
        if len(vectors):
            chosen = torch.randperm(len(vectors), device=vectors.device)
            self.buffer.add(vectors[chosen[: self.batch_size]])
        if not len(self.buffer):
            return self._no_loss()
        return self._denoising_loss(self.buffer.draw(self.batch_size))

    def _denoising_loss(
        self, x: Tensor, valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        x0 = self.feature_range(x)
        t, noise = self._perturbation(x0)
        predicted = self.denoiser(self.diffusion.q_sample(x0, t, noise), t)
        error = (predicted.float() - noise).square().mean(1)
        error = error if valid is None else error[valid]
        return dict(loss_denoise=error.mean())

    def _perturbation(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        """Times and noise of a training step."""
        steps = self.diffusion.num_steps
        t = torch.randint(steps, (len(x0),), device=x0.device)
        return t, torch.randn_like(x0)

    def _no_loss(self) -> dict[str, Tensor]:
        """Zero, from all parameters, so that other ranks need not wait."""
        total = sum(p.sum() for p in self.denoiser.parameters())
        return dict(loss_denoise=0 * total)

    def check_width(self, features: Tensor) -> None:
        """Raises ValueError unless features (N, C, *) have the C of ours."""
        channels = features.shape[1]
        if channels != self.channels:
            raise ValueError(
                f'the features have {channels} channels and DenoisingLoss '
                f'was built for {self.channels}: set its channels to '
                f'{channels}, or probe the layer it was trained on'
            )


@register_score('diffusion', reads=('features',), kinds=KINDS)
class DiffusionScore:
    """How badly the denoiser of a `DenoisingLoss` works, (N, C, *) -> (N, *).

    `mmood.scores.diffusion_score` with the arguments ``kind``, ``weighted``,
    ``chunk_size``, ``dtype`` and ``timesteps``: a number T for 0..T-1 (the
    paper's 1..T) or a list. ``dtype`` alone says the denoiser's precision,
    whatever autocast is around. The noise comes from a generator seeded by
    ``seed`` and the image's key, so an image has the same map in any batch,
    order and rank, within rounding and on one kind of device: CPU and GPU
    have different generators. Samples without keys share one generator.
    """

    def __init__(
        self,
        losses: Iterable[nn.Module],
        *,
        kind: str = 'cosine',
        timesteps: int | Sequence[int] = 25,
        weighted: bool = True,
        chunk_size: int = 4096,
        dtype: str = 'float32',
        seed: int = 0,
    ) -> None:
        self.loss = find_loss(losses, DenoisingLoss, 'diffusion')
        self.seed = seed
        steps = range(timesteps) if isinstance(timesteps, int) else timesteps
        self.arguments: dict[str, Any] = dict(
            kind=kind,
            timesteps=list(steps),
            weighted=weighted,
            chunk_size=chunk_size,
            dtype=dtype,
        )

    @torch.no_grad()
    def __call__(self, samples: Samples) -> Tensor:
        x = samples.features
        self.loss.check_width(x)
        keys = [None] if samples.keys is None else samples.keys
        with torch.autocast(x.device.type, enabled=False):
            x0 = self.loss.feature_range(x.float()).contiguous()
            scores = diffusion_score(
                self.loss.denoiser,
                self.loss.diffusion,
                x0 if self.loss.needs_maps else rows(x0),
                generator=[self._generator(key, x.device) for key in keys],
                **self.arguments,
            )
        return scores.reshape(x.shape[:1] + x.shape[2:])

    def _generator(
        self, key: Hashable, device: torch.device
    ) -> torch.Generator:
        seed = zlib.crc32(repr((self.seed, key)).encode())
        return torch.Generator(device).manual_seed(seed)


def downsample(labels: Tensor, size: Sequence[int]) -> Tensor:
    """The label at the centre of each cell, (B, H, W) -> (B, h, w)."""
    labels = F.interpolate(
        labels[:, None].float(), tuple(size), mode='nearest-exact'
    )
    return labels[:, 0].long()
