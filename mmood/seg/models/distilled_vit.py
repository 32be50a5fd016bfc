"""The vision transformer of DOoD's Segmenter-B, with a distillation token.

Paper: Touvron et al., "Training data-efficient image transformers &
distillation through attention" (DeiT), ICML 2021. Fits the segmentor that
DOoD (ECCV 2024) released, and DeiT's distilled weights.

Shapes: B images, L patches, C channels, h x w the patches of an image.
"""

from __future__ import annotations

import torch
from mmseg.models.backbones import VisionTransformer
from torch import Tensor, nn

from mmood.registry import MODELS


def _drop_dist_token(
    module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    """Forward hook: (B, 2 + L, C) -> (B, 1 + L, C)."""
    return torch.cat((output[:, :1], output[:, 2:]), 1)


@MODELS.register_module()
class DistilledVisionTransformer(VisionTransformer):
    """mmseg's `VisionTransformer` with one token more after the class token.

    All layers see the distillation token; it is dropped after the last one,
    so the output is as ever. ``pos_embed`` is (1, 2 + L, C), of which only
    the patches' part is resized for other images: whenever their grid
    differs from the one of ``img_size``, even if it has as many patches.
    The patch embedding has a bias by default. Arguments of the parent.

    Raises ValueError for what the token allows not: an output before the
    last layer, or no class token.
    """

    num_extra_tokens = 2
    pos_embed: nn.Parameter

    def __init__(self, *args, patch_bias: bool = True, **kwargs) -> None:
        super().__init__(*args, patch_bias=patch_bias, **kwargs)
        last = len(self.layers) - 1
        if list(self.out_indices) != [last] or self.out_origin:
            raise ValueError(
                'DistilledVisionTransformer can only output its last layer: '
                f'out_indices must be -1 or {last} and out_origin False, got '
                f'{self.out_indices} and {self.out_origin}'
            )
        if not self.with_cls_token:
            raise ValueError('with_cls_token must be True, got False')
        _, length, channels = self.pos_embed.shape
        self.pos_embed = nn.Parameter(torch.zeros(1, length + 1, channels))
        self.dist_token = nn.Parameter(torch.empty(1, 1, channels))
        nn.init.trunc_normal_(self.dist_token, std=0.02)
        self.layers[-1].register_forward_hook(_drop_dist_token)
        self._freeze()

    def _pos_embeding(
        self, patched_img: Tensor, hw_shape: tuple[int, int], pos_embed: Tensor
    ) -> Tensor:
        """Insert the token and add the positions, (B, 1 + L, C) -> 2 + L."""
        token = self.dist_token.expand(len(patched_img), -1, -1)
        x = torch.cat((patched_img[:, :1], token, patched_img[:, 1:]), 1)
        grid = tuple(side // self.patch_size for side in self.img_size)
        if tuple(hw_shape) != grid:
            pos_embed = self.resize_pos_embed(
                pos_embed, hw_shape, grid, self.interpolate_mode
            )
        return super()._pos_embeding(x, hw_shape, pos_embed)

    @staticmethod
    def resize_pos_embed(
        pos_embed: Tensor,
        input_shpae: tuple[int, int],
        pos_shape: tuple[int, int],
        mode: str,
    ) -> Tensor:
        """The parent's, which keeps only the first of the extra tokens."""
        extra = pos_embed.shape[1] - pos_shape[0] * pos_shape[1]
        resized = VisionTransformer.resize_pos_embed(
            pos_embed, input_shpae, pos_shape, mode
        )
        return torch.cat((pos_embed[:, :extra], resized[:, 1:]), 1)
