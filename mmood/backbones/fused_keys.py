"""Keys of the attention layers of timm's vision transformers.

Shapes: B images, L tokens, C channels, H x W the patches of an image.
"""

from __future__ import annotations

from collections.abc import Callable

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
    return [layer for layer in layers if _key_weight(layer) is not None]


def key_width(attention: nn.Module) -> int:
    """C of the keys of all heads side by side."""
    return len(_key_weight(attention))


def hook_keys(
    model: nn.Module, attention: nn.Module, take: Callable[[Tensor], None]
) -> list:
    """Give ``take`` the keys (B, C, H, W) of every forward pass.

    Returns the handles of the hooks, to remove them by.
    """
    size: list[tuple[int, int]] = []

    def remember(embed: nn.Module, args: tuple) -> None:
        size[:] = [embed.dynamic_feat_size(tuple(args[0].shape[-2:]))]

    def keys(module: nn.Module, args: tuple) -> None:
        take(fused_keys(module, args[0], size[0]))

    return [
        model.patch_embed.register_forward_pre_hook(remember),
        attention.register_forward_pre_hook(keys),
    ]


@torch.no_grad()
def fused_keys(
    attention: nn.Module, tokens: Tensor, size: tuple[int, int]
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


def _key_weight(attention: nn.Module | None) -> Tensor | None:
    if isinstance(getattr(attention, 'qkv', None), nn.Linear):
        return attention.qkv.weight.chunk(3)[1]
    if isinstance(getattr(attention, 'k_proj', None), nn.Linear):
        return attention.k_proj.weight
    return None


def _key_bias(attention: nn.Module) -> Tensor | None:
    if getattr(attention, 'qkv', None) is None:
        return attention.k_proj.bias
    if attention.qkv.bias is not None:
        return attention.qkv.bias.chunk(3)[1]
    return getattr(attention, 'k_bias', None)
