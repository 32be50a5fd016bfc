"""Gaussian mixtures in the place of a decode head's last layer.

Paper: Liang et al., "GMMSeg: Gaussian Mixture based Generative Semantic
Segmentation Models", NeurIPS 2022.

Shapes: B images, C channels of the head, D of the embeddings, K classes of M
components, h x w cells.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmood.losses import GaussianMixtures
from mmood.losses.denoising import downsample
from mmood.registry import MODELS, model_class

from .parents import DecodeHead

if TYPE_CHECKING:
    from collections.abc import Iterator


@MODELS.register_module()
def GMMSegHead(
    of: str | type[BaseDecodeHead], mixtures: dict | None = None, **kwargs
) -> BaseDecodeHead:
    """The decode head ``of`` with a generative classifier.

    Any head of mmseg whose last layer is ``conv_seg``, with the arguments
    ``kwargs``; a `MixtureClassifier` takes that layer's place, so the others
    keep their keys. The head's losses are of the classifier's logits; beside
    them ``loss_contrast``, that of `GaussianMixtures.learn`. The score
    ``gmmseg`` reads the densities. ::

        decode_head=dict(type='mmood.GMMSegHead', of='mmseg.SegformerHead',
                         mixtures=dict(num_components=5), num_classes=19, ...)

    Args:
        of: the class, or its name with the scope.
        mixtures: arguments of `mmood.losses.GaussianMixtures`; ``channels``
            is D.

    Raises ValueError for a head without such a layer, and for one that
    judges two classes by a single channel.
    """
    head = model_class(of, 'mmseg.SegformerHead')
    adapted = _with_mixtures(head)
    made = head(**kwargs)
    made.__class__ = adapted  # heads ask in theirs which class they are
    made.equip(mixtures or {})
    return made


class Embedding(nn.Module):
    """Unit vectors of a feature map, (B, C, h, w) -> (B, D, h, w), float32.

    A convolution of one pixel to D channels, unless C is D, then a layer
    norm and division by the length.
    """

    def __init__(
        self, in_channels: int, channels: int, norm_cfg: dict | None
    ) -> None:
        super().__init__()
        self.projection = nn.Identity()
        if in_channels != channels:
            self.projection = ConvModule(
                in_channels, channels, 1, norm_cfg=norm_cfg
            )
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection(x)
        with torch.autocast(x.device.type, enabled=False):
            rows = self.norm(x.movedim(1, -1).float())
            return F.normalize(rows, dim=-1).movedim(-1, 1)


class MixtureClassifier(nn.Module):
    """Logits (B, K, h, w) of a map (B, C, h, w), by mixtures of embeddings.

    The largest log density among the components of each class, then a layer
    norm over the classes.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        norm_cfg: dict | None,
        channels: int = 64,
        **mixtures,
    ) -> None:
        super().__init__()
        self.embed = Embedding(in_channels, channels, norm_cfg)
        self.mixtures = GaussianMixtures(num_classes, channels, **mixtures)
        self.norm = nn.LayerNorm(num_classes)

    def init_weights(self) -> None:
        """Not as the head says of its ``conv_seg``, which zeroes norms."""
        for norm in (self.norm, self.embed.norm):
            norm.reset_parameters()
        if isinstance(self.embed.projection, ConvModule):
            self.embed.projection.init_weights()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.mixtures(self.embed(x)))

    def logits(self, densities: Tensor) -> Tensor:
        """Of log densities (B, K, M, h, w)."""
        with torch.autocast(densities.device.type, enabled=False):
            best = densities.amax(2).movedim(1, -1)
            return self.norm(best).movedim(-1, 1)


class MixtureAdapter(DecodeHead):
    """Part of a decode head, before its own class."""

    conv_seg: MixtureClassifier

    def equip(self, mixtures: dict) -> None:
        """Put the mixtures in the place of ``conv_seg``."""
        name = type(self).__name__
        layer = getattr(self, 'conv_seg', None)
        if not isinstance(layer, nn.Conv2d):
            raise ValueError(
                f'of={name[len("GMMSeg") :]} has no last layer conv_seg that '
                'mixtures could take the place of: take a head that ends in '
                'one, such as SegformerHead or DepthwiseSeparableASPPHead'
            )
        if self.out_channels != self.num_classes:
            raise ValueError(
                f'{name} has out_channels={self.out_channels} for '
                f'num_classes={self.num_classes}, and a mixture is of one '
                'class: leave out_channels out'
            )
        self.conv_seg = MixtureClassifier(
            layer.in_channels, self.num_classes, self.norm_cfg, **mixtures
        )

    @property
    def learned(self) -> tuple[GaussianMixtures]:
        """What the score ``gmmseg`` asks for."""
        return (self.conv_seg.mixtures,)

    @property
    def own_probe(self) -> dict:
        """Where the features are whose densities the mixtures know."""
        width = self.conv_seg.mixtures.means.shape[-1]
        return dict(module='decode_head.conv_seg.embed', channels=width)

    def loss(
        self, inputs: tuple[Tensor], batch_data_samples: list, train_cfg: dict
    ) -> dict[str, Tensor]:
        with _recorded(self.conv_seg.mixtures) as calls:
            losses = super().loss(inputs, batch_data_samples, train_cfg)
        if not calls:
            raise RuntimeError(
                f'{type(self).__name__} does not run its conv_seg, so nothing '
                'has a density: take another head'
            )
        x, densities = calls[-1]
        labels = torch.cat([s.gt_sem_seg.data for s in batch_data_samples])
        labels = labels.masked_fill(labels == self.ignore_index, -1)
        losses['loss_contrast'] = self.conv_seg.mixtures.learn(
            x,
            densities,
            downsample(labels, x.shape[-2:]),
            self.conv_seg.logits(densities).argmax(1),
        )
        return losses


@contextmanager
def _recorded(module: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What each call of a module inside gets and returns."""
    calls: list[tuple[Tensor, Tensor]] = []
    hook = module.register_forward_hook(
        lambda _, inputs, output: calls.append((inputs[0], output))
    )
    try:
        yield calls
    finally:
        hook.remove()


@lru_cache(None)
def _with_mixtures(head: type[nn.Module]) -> type[nn.Module]:
    if not (isinstance(head, type) and issubclass(head, BaseDecodeHead)):
        raise ValueError(
            f'of={head.__name__} is no BaseDecodeHead of mmseg: a '
            'mmood.GMMSegHead is made of one, such as SegformerHead'
        )
    return type(f'GMMSeg{head.__name__}', (MixtureAdapter, head), {})
