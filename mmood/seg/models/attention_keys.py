"""Find the keys of attention layers while a backbone runs.

Shapes: B images, L tokens, C channels, H x W the feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import PatchEmbed as MMCVPatchEmbed
from mmseg.models.utils import PatchEmbed
from torch import Tensor, nn

from mmood.backbones import TimmBackbone

T = TypeVar('T')


def hook_keys(backbone: nn.Module, number: int, maps: list[Tensor]) -> list:
    """Handles of hooks that append the keys of a layer, (B, C, H, W)."""
    if isinstance(backbone, TimmBackbone):
        _own_width(backbone, number)
        return backbone.hook_keys(number, maps.append)
    attention, sr_ratio = _attention(backbone, number)
    size: list[tuple[int, int]] = []

    def remember(_: nn.Module, __: tuple, output: tuple) -> None:
        size[:] = [tuple(output[1])]

    def take(module: nn.MultiheadAttention, args: tuple, kwargs: dict) -> None:
        tokens = kwargs['key'] if 'key' in kwargs else args[1]
        if not module.batch_first:
            tokens = tokens.transpose(0, 1)
        height, width = (side // sr_ratio for side in size[0])
        maps.append(attention_keys(module, tokens, (height, width)))

    return [
        *(m.register_forward_hook(remember) for m in _embeds(backbone)),
        attention.register_forward_pre_hook(take, with_kwargs=True),
    ]


def _attention(
    backbone: nn.Module, number: int
) -> tuple[nn.MultiheadAttention, int]:
    """An attention layer, and the factor by which its keys are coarser."""
    blocks = _attention_blocks(backbone)
    if not has_keys(backbone):
        raise ValueError(
            f'{type(backbone).__name__} has no nn.MultiheadAttention behind '
            'a PatchEmbed; give probe.module, the name of a module, instead '
            'of probe.keys'
        )
    return _layer(blocks, number, backbone)


def key_width(backbone: nn.Module, number: int) -> int:
    """C of the keys of a layer.

    Raises ValueError if the backbone has no such keys.
    """
    if isinstance(backbone, TimmBackbone):
        return _own_width(backbone, number)
    return _attention(backbone, number)[0].embed_dim


def _own_width(backbone: TimmBackbone, number: int) -> int:
    """C of the keys of a backbone that gives them itself."""
    widths = backbone.key_widths()
    if not widths:
        raise ValueError(
            f'{backbone.name!r} has no attention over all patches; give '
            'probe.module, the name of a module, instead of probe.keys'
        )
    return _layer(widths, number, backbone)


def _layer(layers: Sequence[T], number: int, backbone: nn.Module) -> T:
    if not -len(layers) <= number < len(layers):
        raise ValueError(
            f'probe.keys {number} is out of range: '
            f'{type(backbone).__name__} has {len(layers)} attention layers'
        )
    return layers[number]


def has_keys(backbone: nn.Module) -> bool:
    """Whether a backbone has attention keys that can be probed."""
    if isinstance(backbone, TimmBackbone):
        return bool(backbone.key_widths())
    return bool(_attention_blocks(backbone) and _embeds(backbone))


def _embeds(backbone: nn.Module) -> list[nn.Module]:
    """What says how many patches an image has."""
    kinds = (PatchEmbed, MMCVPatchEmbed)
    return [m for m in backbone.modules() if isinstance(m, kinds)]


def _attention_blocks(
    backbone: nn.Module,
) -> list[tuple[nn.MultiheadAttention, int]]:
    found = []
    for block in backbone.modules():
        attention = getattr(block, 'attn', None)
        if isinstance(attention, nn.MultiheadAttention):
            found.append((attention, getattr(block, 'sr_ratio', 1)))
    return found


@torch.no_grad()
def attention_keys(
    attention: nn.MultiheadAttention, tokens: Tensor, size: tuple[int, int]
) -> Tensor:
    """``W_k x + b_k`` of the last H W tokens, (B, L, C) -> (B, C, H, W).

    Raises ValueError if there are fewer tokens than H W.
    """
    batch, length, _ = tokens.shape
    count = size[0] * size[1]
    if length < count:
        raise ValueError(
            f'{length} tokens cannot fill a map of {size[0]} x {size[1]}'
        )
    joint, biases = attention.in_proj_weight, attention.in_proj_bias
    rows = slice(attention.embed_dim, 2 * attention.embed_dim)
    weight = attention.k_proj_weight if joint is None else joint[rows]
    bias = None if biases is None else biases[rows]
    keys = F.linear(tokens[:, length - count :], weight, bias)
    return keys.transpose(1, 2).reshape(batch, -1, *size)
