"""Any network of timm as the backbone of a detector or a segmentor.

Shapes: B images, C channels, H x W a feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmood.registry import MODELS

from .freezing import freeze, keep_statistics
from .fused_keys import hook_keys, key_layers, key_width
from .weights import find_weights, fitting_state, read_state

# What lets a network take images of other sizes than its training's: one of
# them, where it has any.
_ANY_SIZE: tuple[dict[str, bool], ...] = (
    dict(dynamic_img_size=True),
    dict(strict_img_size=False),
    {},
)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Maps (B, C_i, H_i, W_i) of a network of timm, as a tuple.

    Convolutional networks and pyramids of transformers give a map per level,
    of falling resolution; a vision transformer gives one per layer, each
    behind its last norm, without class and register tokens, its position
    embedding resized to the image. `mmood.seg.FeatureProbe(keys=...)` reads
    its attention keys.

    Args:
        name: what ``timm.create_model`` calls it, such as
            ``'convnext_tiny.fb_in22k'`` or ``'vit_small_patch14_dinov2'``.
        weights: a file, or ``'package:NAME'`` for the weight file of an
            installed package: timm's names, or other ones in timm's order.
        pretrained: whether to take timm's weights of that name, from the
            network if they have not been fetched before.
        out_indices: which levels or layers, in timm's numbers. Usual: all
            levels, the last layer. Layers behind the last one are not built.
        frozen: whether nothing is trained, and no statistics of norms.
        frozen_stages: the first so many levels or layers are frozen, and
            what is in front of them.
        norm_eval: whether batch norms keep their statistics.
        options: more arguments of ``timm.create_model``, such as
            ``dynamic_img_pad=True`` for sides that patches do not fill.

    Weights are read by ``init_weights``, thus when a training starts and not
    when a checkpoint is loaded. Raises ImportError without timm
    (``pip install 'mmood[timm]'``), ValueError for two sources of weights,
    weights that do not fit, or more frozen stages than there are.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        *,
        pretrained: bool = False,
        out_indices: Sequence[int] | None = None,
        frozen: bool = False,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
        **options: object,
    ) -> None:
        super().__init__(init_cfg)
        if sum(map(bool, (weights, pretrained, init_cfg))) > 1:
            raise ValueError(
                'give one of weights, pretrained and init_cfg, got '
                f'weights={weights!r}, pretrained={pretrained!r}, '
                f'init_cfg={init_cfg!r}'
            )
        self.name, self.weights, self.pretrained = name, weights, pretrained
        self.frozen, self.norm_eval = frozen, norm_eval
        self.options = options
        self.model: Any = _create(name, options)
        levels = _levels(self.model)
        if not 0 <= frozen_stages <= len(levels):
            raise ValueError(
                f'frozen_stages must be in 0 ... {len(levels)} for {name!r}, '
                f'got {frozen_stages}'
            )
        self.is_sequence = hasattr(self.model, 'num_prefix_tokens')
        if out_indices is None:
            out_indices = [-1] if self.is_sequence else range(len(levels))
        self.out_indices = self.model.prune_intermediate_layers(
            list(out_indices), prune_norm=not self.is_sequence
        )
        chosen = [levels[i] for i in self.out_indices]
        self.out_channels = tuple(level['num_chs'] for level in chosen)
        self.strides = tuple(level['reduction'] for level in chosen)
        last = levels[frozen_stages - 1]['module'] if frozen_stages else None
        fixed = self.model.modules() if frozen else []
        if last and not frozen:
            fixed = _up_to(self.model, last)
        self._fixed = freeze(fixed)
        self.train()

    def init_weights(self) -> None:
        if self.weights or self.pretrained:
            source = _create(self.name, self.options, self.pretrained)
            state = source.state_dict()
            if self.weights:
                given = read_state(find_weights(self.weights))
                state.update(fitting_state(given, state))
            kept = self.model.state_dict()
            self.model.load_state_dict({name: state[name] for name in kept})
        elif self.init_cfg:
            super().init_weights()
        # Else timm has drawn them.
        self._is_init = True

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        keep_statistics(self, self._fixed, self.norm_eval)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> a map (B, C_i, H_i, W_i) for each of out_indices."""
        maps = self.model.forward_intermediates(
            images,
            indices=self.out_indices,
            norm=self.is_sequence,
            output_fmt='NCHW',
            intermediates_only=True,
        )
        return tuple(maps)

    def key_widths(self) -> list[int]:
        """C of the keys of each attention layer; [] if none has any."""
        return [key_width(layer) for layer in key_layers(self.model)]

    def hook_keys(self, number: int, take: Callable[[Tensor], None]) -> list:
        """Give ``take`` a layer's keys (B, C, H, W) of each forward pass.

        Returns the handles of the hooks.
        """
        return hook_keys(self.model, key_layers(self.model)[number], take)


def import_timm() -> ModuleType:
    """timm, or an ImportError that says how to come by it."""
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ImportError(
            f'TimmBackbone needs timm, and the package {error.name!r} is '
            "missing: pip install 'mmood[timm]', torchvision from the index "
            "that torch's build is from"
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        raise ImportError(
            f'timm cannot be imported ({error}): torchvision is not built '
            f'for torch {torch.__version__}; install both anew, from the '
            'same index (docs/en/faq.md)'
        ) from error
    return timm


def _create(name: str, options: dict, pretrained: bool = False) -> Any:
    """A network without classifier that takes images of any size."""
    create = import_timm().create_model
    for extra in _ANY_SIZE:
        arguments = {**extra, **options}
        try:
            return create(
                name, pretrained=pretrained, num_classes=0, **arguments
            )
        except TypeError as error:
            unknown = [key for key in extra if f"'{key}'" in str(error)]
            if not unknown:
                raise
    raise AssertionError('the last try has nothing of its own')


def _levels(model: Any) -> list[dict]:
    """What timm says of the maps: num_chs, reduction, module."""
    info = model.feature_info
    return list(getattr(info, 'info', info))


def _up_to(model: nn.Module, last: str) -> list[nn.Module]:
    """The modules in front of one and those in it, in the order of names."""
    found, is_inside = [], False
    for name, module in model.named_modules():
        is_last = name == last or name.startswith(f'{last}.')
        if is_inside and not is_last:
            break
        is_inside = is_last
        found.append(module)
    return found
