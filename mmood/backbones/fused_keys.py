"""Keys of the attention layers of timm's vision transformers.

Shapes: B images, L tokens, C channels, H x W the patches of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def key_layers(model: nn.Module) -> list[nn.Module]:
    """Attention over all tokens, in order of execution; none of a pyramid.

    Of transformers that keep class, distillation or register tokens in
    front of one list of patches, so not of Swin's windows.
    """
    if not hasattr(model, 'num_prefix_tokens'):
        return []
    layers = [getattr(b, 'attn', None) for b in getattr(model, 'blocks', ())]
    return [layer for layer in layers if layer and _has_keys(layer)]


def key_width(attention: nn.Module) -> int:
    """C of the keys of all heads side by side."""
    return len(_key_weight(attention))


def hook_keys(
    model: Any, attention: nn.Module, take: Callable[[Tensor], None]
) -> list:
    """Give ``take`` the keys (B, C, H, W) of every forward pass.

    Returns the handles of the hooks, to remove them by.
    """
    size: list[tuple[int, int]] = []

    def remember(embed: Any, args: tuple) -> None:
        size[:] = [embed.dynamic_feat_size(tuple(args[0].shape[-2:]))]

    def keys(module: nn.Module, args: tuple) -> None:
        take(fused_keys(module, args[0], size[0]))

    return [
        model.patch_embed.register_forward_pre_hook(remember),
        attention.register_forward_pre_hook(keys),
    ]


@torch.no_grad()
def fused_keys(
    attention: Any, tokens: Tensor, size: tuple[int, int]
) -> Tensor:
    """``W_k x + b_k`` of the last H W tokens, (B, L, C) -> (B, C, H, W).

    With the layer's norm of its keys if it has one; not rotated by position.
    Raises ValueError if there are fewer tokens than H W.
    """
    batch, length, _ = tokens.shape
    count = size[0] * size[1]
    if length < count:
        raise ValueError(
            f'{length} tokens cannot fill a map of {size[0]} x {size[1]}'
        )
    patches = tokens[:, length - count :]
    keys = F.linear(patches, _key_weight(attention), _key_bias(attention))
    norm = getattr(attention, 'k_norm', None)
    if norm is not None:
        heads = keys.unflatten(-1, (attention.num_heads, -1))
        keys = norm(heads).flatten(-2)
    return keys.transpose(1, 2).reshape(batch, -1, *size)


def _is_linear(attention: nn.Module, name: str) -> bool:
    return isinstance(getattr(attention, name, None), nn.Linear)


def _has_keys(attention: nn.Module) -> bool:
    return _is_linear(attention, 'qkv') or _is_linear(attention, 'k_proj')


def _key_weight(attention: Any) -> Tensor:
    if _is_linear(attention, 'qkv'):
        return attention.qkv.weight.chunk(3)[1]
    return attention.k_proj.weight


def _key_bias(attention: Any) -> Tensor | None:
    if getattr(attention, 'qkv', None) is None:
        return attention.k_proj.bias
    if attention.qkv.bias is not None:
        return attention.qkv.bias.chunk(3)[1]
    return getattr(attention, 'k_bias', None)
