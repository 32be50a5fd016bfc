"""A segmentor that stays as it is, all of it or in part.

Shapes: B images, C feature channels, H x W pixels, h x w cells of a feature
map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmood.losses.batch import Batch, build_losses, ood_losses

from .feature_probe import FeatureProbe
from .parents import Segmentor

_PARTS = ('backbone.', 'neck.', 'decode_head.')


class FrozenTraining(Segmentor):
    """Part of a segmentor, before its parent class; ``losses`` may be empty.

    With ``losses`` the segmentor comes from ``load_from``, stays in eval
    mode and gets no gradients: they alone are trained. With ``trains`` that
    holds for all but the parameters of those names.
    """

    probe: FeatureProbe | None
    _unfit: str | None = None
    _trains: tuple[str, ...] | None = None  # None: all of it

    def _build_losses(
        self, configs: Sequence[dict], channels: int | None
    ) -> None:
        if configs:
            if self._trains is not None:
                raise ValueError(
                    'with losses nothing of the segmentor is trained: leave '
                    f'out trains={list(self._trains)}'
                )
            self._freeze(())
        sizes = dict(num_classes=self.num_classes)
        if channels is not None:
            sizes.update(channels=channels, in_channels=channels)
        self.losses = build_losses(configs, of_pixels=False, **sizes)
        self.register_load_state_dict_post_hook(_expect_no_losses)

    @property
    def learned(self) -> tuple[nn.Module, ...]:
        """What scores may ask for: the losses, and what the head has."""
        of_head = getattr(self.decode_head, 'learned', ())
        losses = (*self.losses.values(), *self.pixel_losses.values())
        return (*losses, *of_head)

    def _freeze(self, trains: Sequence[str] | None) -> None:
        """No gradients but for parameters of those names; None: for all.

        Raises ValueError for a name that is of no parameter.
        """
        if trains is None:
            return
        _check_names(trains, [name for name, _ in self.named_parameters()])
        self._trains = tuple(trains)
        for name, parameter in self.named_parameters():
            if not any(_is_within(name, part) for part in trains):
                parameter.requires_grad = False
        # A backbone may bring weights of its own.
        if any(
            self._must_be_loaded(name) and not name.startswith('backbone.')
            for name, _ in (*self.named_parameters(), *self.named_buffers())
        ):
            self._unfit = (
                'the segmentor has no trained weights: pass load_from (mim: '
                '--cfg-options load_from=SEGMENTOR.pth) with a checkpoint of '
                'it'
            )

    def _must_be_loaded(self, name: str) -> bool:
        """Whether a prediction needs this parameter or buffer as it is."""
        if self._trains is None or not name.startswith(_PARTS):
            return False
        return not any(_is_within(name, part) for part in self._trains)

    def train(self, mode: bool = True) -> FrozenTraining:
        super().train(mode)
        if self._trains is not None:
            learning = 'losses' if self.losses else 'pixel_losses'
            for name, child in self.named_children():
                if name not in (learning, 'scores'):
                    _rest(child)
        return self

    def loss(
        self, inputs: Tensor | list[Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """The parent's or, with ``losses``, those of the features.

        Then inputs may also be a list of cached features: (C, h, w) with
        labels in their samples, or vectors (n, C), mixed and valid already.
        """
        if not self.losses:
            return super().loss(cast(Tensor, inputs), data_samples)
        self.check_weights()
        if isinstance(inputs, list) and inputs[0].dim() == 2:
            return ood_losses(Batch(features=torch.cat(inputs)), self.losses)
        if isinstance(inputs, list):
            features = torch.stack(inputs)
        else:
            features = self.extract_features(inputs)
        batch = Batch(features=features, labels=_labels(data_samples or []))
        return ood_losses(batch, self.losses)

    @torch.no_grad()
    def extract_features(self, inputs: Tensor) -> Tensor:
        """The probed features of images, (B, 3, H, W) -> (B, C, h, w)."""
        self.check_weights()
        if self.probe is None:
            raise ValueError(
                'no score or loss of the segmentor reads features: give it '
                'one that does'
            )
        in_backbone = (self.probe.module or 'backbone').startswith('backbone')
        run = self.extract_feat if in_backbone else self._forward
        with self.probe.record(self) as maps:
            run(inputs)
        return maps[-1]

    def check_weights(self) -> None:
        """Raise RuntimeError unless a frozen segmentor has a checkpoint's."""
        if self._unfit:
            raise RuntimeError(self._unfit)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Remember whether the checkpoint fits a frozen segmentor.

        MMEngine only warns of weights that are missing, left over or of
        another shape, and features of such a segmentor are worth nothing.
        """
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if self._trains is None:
            return
        own = {prefix + k: v.shape for k, v in self.state_dict().items()}
        given = {k: v.shape for k, v in state_dict.items()}
        wrong = [
            name
            for name in {**own, **given}
            if name.startswith(prefix)
            and self._must_be_loaded(name[len(prefix) :])
            and own.get(name) != given.get(name)
        ]
        self._unfit = None
        if wrong:
            self._unfit = (
                f'{len(wrong)} weights of the segmentor are not in the '
                'checkpoint, not in the model, or of another shape, such as '
                f'{wrong[0]}: load_from must be a checkpoint of the segmentor '
                'that the config describes'
            )


def _is_within(name: str, part: str) -> bool:
    """Whether a dotted name is that of a part or of something in it."""
    return name == part or name.startswith(f'{part}.')


def _check_names(trains: Sequence[str], names: Sequence[str]) -> None:
    if isinstance(trains, str):
        raise ValueError(
            f'trains={trains!r} is a text: one part is {[trains]!r}'
        )
    for part in trains:
        if not any(_is_within(name, part) for name in names):
            *outer, _ = f'.{part}'.split('.')
            above = '.'.join(filter(None, outer))
            near = {
                '.'.join(name.split('.')[: len(outer)])
                for name in names
                if not above or _is_within(name, above)
            }
            raise ValueError(
                f'trains has {part!r}, and no parameter is called so or lies '
                f'in such a part; there are {sorted(near) or names[:3]}'
            )


def _rest(module: nn.Module) -> None:
    """Eval mode for what does not learn, as dropout and running means."""
    if not any(p.requires_grad for p in module.parameters()):
        module.eval()
        return
    for child in module.children():
        if any(True for _ in child.parameters()):
            _rest(child)


def _expect_no_losses(
    model: nn.Module, keys: tuple[list[str], list[str]]
) -> None:
    """Nothing is missing in a checkpoint of the segmentor alone."""
    missing, _ = keys
    for part in ('losses', 'pixel_losses'):
        names = getattr(model, part, nn.Module()).named_parameters()
        if {f'{part}.{name}' for name, _ in names} <= set(missing):
            missing[:] = [k for k in missing if not k.startswith(f'{part}.')]


def _labels(data_samples: list[SegDataSample]) -> Tensor:
    return torch.cat([sample.gt_sem_seg.data for sample in data_samples])
