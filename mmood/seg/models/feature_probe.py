"""Look at a feature map while a segmentor runs, without replacing parts.

Shapes: B images, L tokens, C channels, H x W the feature map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import PatchEmbed as MMCVPatchEmbed
from mmseg.models.utils import PatchEmbed
from torch import Tensor, nn

from mmood.registry import SCORES
from mmood.scores.build import split_config
from mmood.scores.samples import ScoreConfig


class FeatureProbe:
    """Record attention keys, or any module's output, as (B, C, H, W).

    Args:
        keys: number of an attention layer of the backbone in order of
            execution, -1 the last one. Its keys of all heads side by side
            are the features (DOoD, ECCV 2024, Sec. 5.1); class tokens, which
            stand in front, are dropped. For backbones of
            ``nn.MultiheadAttention`` behind a ``PatchEmbed``
            (``VisionTransformer``, ``MixVisionTransformer`` and kin), and
            for vision transformers of ``mmood.TimmBackbone``.
        module: name of a module of the segmentor instead, such as
            ``'backbone.layer4'`` or ``'decode_head.bottleneck'``.
        index: which map, where that module returns several.
        channels: C, which scores that are fitted want to know; attention
            keys have the width of their layer.

    Raises ValueError unless exactly one of ``keys`` and ``module`` is given.
    """

    def __init__(
        self,
        keys: int | None = None,
        module: str | None = None,
        index: int = -1,
        channels: int | None = None,
    ) -> None:
        if (keys is None) == (module is None):
            raise ValueError(
                'give either keys, the number of an attention layer, or '
                f'module, the name of a module, got keys={keys!r} and '
                f'module={module!r}'
            )
        self.keys, self.module, self.index = keys, module, index
        self.channels = channels

    def width(self, model: nn.Module) -> int | None:
        """C of the features of a segmentor; None if nothing says it.

        Raises ValueError if the segmentor does not have them.
        """
        if self.keys is None:
            self._found(model)
            return self.channels
        if hasattr(model.backbone, 'key_widths'):
            return _own_width(model.backbone, self.keys)
        return _attention(model.backbone, self.keys)[0].embed_dim

    @contextmanager
    def record(self, model: nn.Module) -> Iterator[list[Tensor]]:
        """The list that each forward pass inside appends its map to.

        Raises ValueError, as the hooks inside do, if there was none.
        """
        maps: list[Tensor] = []
        with ExitStack() as stack:
            for handle in self._hook(model, maps):
                stack.callback(handle.remove)
            yield maps
        if not maps:
            raise ValueError(
                f'probe.module {self.module!r} did not run as a module; name '
                'one that does, such as a part of it'
            )

    def _hook(self, model: nn.Module, maps: list[Tensor]) -> list:
        if self.keys is not None:
            return _hook_keys(model.backbone, self.keys, maps)

        def take(_: nn.Module, __: tuple, output: object) -> None:
            maps.append(_as_map(output, self.index, self.module))

        return [self._found(model).register_forward_hook(take)]

    def _found(self, model: nn.Module) -> nn.Module:
        modules = dict(model.named_modules())
        if self.module not in modules:
            near = [n for n, _ in model.named_children()]
            raise ValueError(
                f'probe.module {self.module!r} is no module of the '
                f'segmentor; its first level has {near}'
            )
        return modules[self.module]


def probe_for(
    scores: Sequence[ScoreConfig],
    losses: Sequence[dict],
    arguments: dict | None,
    model: nn.Module,
) -> FeatureProbe | None:
    """The probe of a segmentor's config, or of its last attention keys.

    None if neither a score nor a loss reads features. Raises ValueError if
    one does, and nothing says which features or, for scores alone, how many.
    """
    readers = [config.get('type') for config in losses]
    readers += _feature_scores(scores)
    if not readers:
        return None
    if arguments is None and not _has_keys(model.backbone):
        raise ValueError(
            f'{readers[0]} reads features, and '
            f'{type(model.backbone).__name__} has no attention keys: say '
            "which features, as in probe=dict(module='backbone.layer4', "
            "channels=2048) or probe=dict(module='decode_head.bottleneck', "
            'channels=512)'
        )
    found = FeatureProbe(**(arguments or dict(keys=-1)))
    if found.width(model) is None and not losses:
        raise ValueError(
            f'{readers[0]} reads features, and nothing says how many: set '
            f'probe.channels to the number of {found.module!r}'
        )
    return found


def _feature_scores(configs: Sequence[ScoreConfig]) -> list[str]:
    """Those scores that read features, as an error names them."""
    found = []
    for config in configs:
        name, kind, _ = split_config(config)
        score = SCORES.get(kind) if isinstance(kind, str) else kind
        if 'features' in getattr(score, 'reads', ()):
            found.append(f'the score {name!r}')
    return found


def _as_map(output: object, index: int, name: str) -> Tensor:
    while isinstance(output, (tuple, list)):
        if not -len(output) <= index < len(output):
            raise ValueError(
                f'probe.index {index} is out of range: probe.module {name!r} '
                f'returns {len(output)} outputs'
            )
        output, index = output[index], 0  # [map, class token]
    if not isinstance(output, Tensor) or output.dim() != 4:
        shape = getattr(output, 'shape', type(output).__name__)
        raise ValueError(
            f'probe.module {name!r} must return maps (B, C, H, W), got {shape}'
        )
    return output.detach()


def _hook_keys(backbone: nn.Module, number: int, maps: list[Tensor]) -> list:
    if hasattr(backbone, 'hook_keys'):  # TimmBackbone
        _own_width(backbone, number)
        return backbone.hook_keys(number, maps.append)
    attention, sr_ratio = _attention(backbone, number)
    size: list[tuple[int, int]] = []

    def remember(_: nn.Module, __: tuple, output: tuple) -> None:
        size[:] = [tuple(output[1])]

    def take(module: nn.Module, args: tuple, kwargs: dict) -> None:
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
    if not _has_keys(backbone):
        raise ValueError(
            f'{type(backbone).__name__} has no nn.MultiheadAttention behind '
            'a PatchEmbed; give probe.module, the name of a module, instead '
            'of probe.keys'
        )
    return _layer(blocks, number, backbone)


def _own_width(backbone: nn.Module, number: int) -> int:
    """C of the keys of a backbone that gives them itself."""
    widths = backbone.key_widths()
    if not widths:
        raise ValueError(
            f'{backbone.name!r} has no attention over all patches; give '
            'probe.module, the name of a module, instead of probe.keys'
        )
    return _layer(widths, number, backbone)


def _layer(layers: Sequence, number: int, backbone: nn.Module) -> object:
    if not -len(layers) <= number < len(layers):
        raise ValueError(
            f'probe.keys {number} is out of range: '
            f'{type(backbone).__name__} has {len(layers)} attention layers'
        )
    return layers[number]


def _has_keys(backbone: nn.Module) -> bool:
    """Whether a backbone has attention keys that can be probed."""
    if hasattr(backbone, 'key_widths'):
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
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    rows = slice(attention.embed_dim, 2 * attention.embed_dim)
    weight = attention.k_proj_weight if weight is None else weight[rows]
    bias = None if bias is None else bias[rows]
    keys = F.linear(tokens[:, length - count :], weight, bias)
    return keys.transpose(1, 2).reshape(batch, -1, *size)
