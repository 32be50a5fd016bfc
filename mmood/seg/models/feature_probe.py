"""Look at a feature map while a segmentor runs, without replacing parts.

Shapes: B images, L tokens, C channels, H x W the feature map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch.nn.functional as F
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmood.backbones import FrozenBackbone
from mmood.registry import SCORES
from mmood.scores import LinearClassifier
from mmood.scores.build import split_config
from mmood.scores.classifier import linear_of, why_not_linear
from mmood.scores.samples import ScoreConfig

from .attention_keys import has_keys, hook_keys, key_width


class FeatureProbe:
    """Record attention keys, or what a module makes or gets, (B, C, H, W).

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
            keys and a classifier have the width of their layer.
        classifier: take what the decode head's last layer ``conv_seg`` gets,
            for scores that read its weights.

    Raises ValueError unless exactly one of ``keys``, ``module`` and
    ``classifier`` is given.
    """

    def __init__(
        self,
        keys: int | None = None,
        module: str | None = None,
        index: int = -1,
        channels: int | None = None,
        classifier: bool = False,
    ) -> None:
        if (keys is not None) + (module is not None) + classifier != 1:
            raise ValueError(
                'give either keys, the number of an attention layer, or '
                'module, the name of a module, or classifier=True, got '
                f'keys={keys!r}, module={module!r} and '
                f'classifier={classifier!r}'
            )
        module = 'decode_head.conv_seg' if classifier else module
        self.keys, self.module, self.index = keys, module, index
        self.channels, self.classifier = channels, classifier

    def width(self, model: EncoderDecoder) -> int | None:
        """C of the features of a segmentor; None if nothing says it.

        Raises ValueError if the segmentor does not have them.
        """
        linear = self.linear(model)
        if linear is not None:
            return linear.weight.shape[1]
        if self.keys is None:
            self._found(model)
            return self.channels
        return key_width(thawed(model.backbone), self.keys)

    def linear(self, model: EncoderDecoder) -> LinearClassifier | None:
        """What makes logits of the features; None if they are others.

        That of one channel gets a first class whose logit is 0. Raises
        ValueError if the decode head has none.
        """
        if not self.classifier:
            return None
        layer = getattr(model.decode_head, 'conv_seg', None)
        found = linear_of(layer)
        if found is None:
            raise ValueError(
                'probe.classifier wants a decode head with a last layer '
                f'conv_seg, and of {type(model.decode_head).__name__} '
                f'{why_not_linear(layer)}: give probe.module or probe.keys, '
                'and leave out scores that read the classifier'
            )
        if len(found.weight) > 1:
            return found
        return LinearClassifier(
            F.pad(found.weight, (0, 0, 1, 0)), F.pad(found.bias, (1, 0))
        )

    @contextmanager
    def record(self, model: EncoderDecoder) -> Iterator[list[Tensor]]:
        """The list that each forward pass inside appends its map to.

        Raises ValueError, as the hooks inside do, if there was none.
        """
        if self._is_kept(model):
            recording = model.backbone.record(
                self.name, partial(self.run, model)
            )
        else:
            recording = self.run(model)
        with recording as maps:
            yield maps

    @property
    def name(self) -> str:
        """By which a frozen backbone keeps the features."""
        if self.keys is not None:
            return f'keys={self.keys}'
        return f'{self.module}[{self.index}]'

    def _is_kept(self, model: EncoderDecoder) -> bool:
        """Whether the features come from within a frozen backbone."""
        within = (self.module or 'backbone.').startswith('backbone.')
        return within and isinstance(model.backbone, FrozenBackbone)

    @contextmanager
    def run(self, model: EncoderDecoder) -> Iterator[list[Tensor]]:
        """As `record`, of modules that do run."""
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

    def _hook(self, model: EncoderDecoder, maps: list[Tensor]) -> list:
        if self.keys is not None:
            return hook_keys(thawed(model.backbone), self.keys, maps)
        if self.classifier:
            return [
                self._found(model).register_forward_pre_hook(
                    lambda _, inputs: maps.append(inputs[0].detach())
                )
            ]

        def take(_: nn.Module, __: tuple, output: object) -> None:
            maps.append(_as_map(output, self.index, self.module))

        return [self._found(model).register_forward_hook(take)]

    def _found(self, model: EncoderDecoder) -> nn.Module:
        modules = dict(model.named_modules())
        if self._is_kept(model):
            backbone = model.backbone.body.named_modules(prefix='backbone')
            modules.update(backbone)
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
    model: EncoderDecoder,
) -> FeatureProbe | None:
    """The probe of a segmentor's config, or what its scores allow.

    Without ``arguments``: what the decode head has in ``own_probe``, such as
    the embeddings of a ``mmood.GMMSegHead``; what the classifier gets, if all
    that read features read the classifier too; the last attention keys. None
    if neither a score nor a loss reads features. Raises ValueError if one
    does, and nothing says which features or, for scores alone, how many.
    """
    of_features = _reading('features', scores)
    readers = [config.get('type') for config in losses] + of_features
    if not readers:
        return None
    if arguments is None:
        arguments = getattr(model.decode_head, 'own_probe', None)
    if arguments is None and readers == _reading('classifier', scores):
        arguments = dict(classifier=True)
    backbone = thawed(model.backbone)
    if arguments is None and not has_keys(backbone):
        raise ValueError(
            f'{readers[0]} reads features, and '
            f'{type(backbone).__name__} has no attention keys: say '
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


def thawed(backbone: nn.Module) -> nn.Module:
    """What a frozen backbone wraps, or the backbone itself."""
    if isinstance(backbone, FrozenBackbone):
        return backbone.body
    return backbone


def keep_probes(model: EncoderDecoder) -> None:
    """Have a frozen backbone keep the features that it lists."""
    if isinstance(model.backbone, FrozenBackbone):
        for arguments in model.backbone.probes:
            probe = FeatureProbe(**arguments)
            probe.width(model)
            model.backbone.recorders[probe.name] = partial(probe.run, model)


def why_no_classifier(probe: FeatureProbe | None) -> str:
    """What to do to have one; empty if the probe's features go with it."""
    if probe is not None and probe.classifier:
        return ''
    return (
        'the features must be what it gets, for all scores and losses of '
        'features: set probe=dict(classifier=True)'
    )


def _reading(part: str, configs: Sequence[ScoreConfig]) -> list[str]:
    """Those scores that read a part of `Samples`, as an error names them."""
    found = []
    for config in configs:
        name, kind, _ = split_config(config)
        score = SCORES.get(kind) if isinstance(kind, str) else kind
        if part in getattr(score, 'reads', ()):
            found.append(f'the score {name!r}')
    return found


def _as_map(output: object, index: int, name: str | None) -> Tensor:
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
