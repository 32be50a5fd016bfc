"""Losses on the features of a segmentor that stays as it is.

Shapes: B images, C feature channels, H x W pixels, h x w cells of a feature
map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmood.losses.batch import Batch, build_losses, ood_losses

from .feature_probe import FeatureProbe

_PARTS = ('backbone.', 'neck.', 'decode_head.')


class FrozenTraining:
    """Part of a segmentor, before its parent class; ``losses`` may be empty.

    With ``losses`` the segmentor comes from ``load_from``, stays in eval
    mode and gets no gradients: they alone are trained.
    """

    losses: nn.ModuleDict
    probe: FeatureProbe | None
    _unfit: str | None = None

    def _build_losses(
        self, configs: Sequence[dict], channels: int | None
    ) -> None:
        if configs:
            self.requires_grad_(False)
            self._unfit = (
                'the segmentor has no trained weights: pass load_from (mim: '
                '--cfg-options load_from=SEGMENTOR.pth) with a checkpoint of '
                'it'
            )
        sizes = dict(num_classes=self.num_classes)
        if channels is not None:
            sizes.update(channels=channels, in_channels=channels)
        self.losses = build_losses(configs, **sizes)
        self.register_load_state_dict_post_hook(_expect_no_losses)

    @property
    def learned(self) -> tuple[nn.Module, ...]:
        """What scores may ask for: the losses, and what the head has."""
        of_head = getattr(self.decode_head, 'learned', ())
        return (*self.losses.values(), *of_head)

    def train(self, mode: bool = True) -> FrozenTraining:
        super().train(mode)
        if self.losses:
            for name, child in self.named_children():
                if name not in ('losses', 'scores'):
                    child.eval()
        return self

    def loss(
        self, inputs: Tensor | list[Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """The parent's or, with ``losses``, those of the features.

        Then inputs may also be a list of cached features: (C, h, w) with
        labels in their samples, or vectors (n, C), mixed and valid already.
        """
        if not self.losses:
            return super().loss(inputs, data_samples)
        self.check_weights()
        if isinstance(inputs, list) and inputs[0].dim() == 2:
            return ood_losses(Batch(features=torch.cat(inputs)), self.losses)
        is_cached = isinstance(inputs, list)
        features = (
            torch.stack(inputs) if is_cached else self.extract_features(inputs)
        )
        batch = Batch(features=features, labels=_labels(data_samples))
        return ood_losses(batch, self.losses)

    @torch.no_grad()
    def extract_features(self, inputs: Tensor) -> Tensor:
        """The probed features of images, (B, 3, H, W) -> (B, C, h, w)."""
        self.check_weights()
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
        if not self.losses:
            return
        own = {prefix + k: v.shape for k, v in self.state_dict().items()}
        given = {k: v.shape for k, v in state_dict.items()}
        parts = tuple(prefix + part for part in _PARTS)
        wrong = [
            name
            for name in {**own, **given}
            if name.startswith(parts) and own.get(name) != given.get(name)
        ]
        self._unfit = None
        if wrong:
            self._unfit = (
                f'{len(wrong)} weights of the segmentor are not in the '
                'checkpoint, not in the model, or of another shape, such as '
                f'{wrong[0]}: load_from must be a checkpoint of the segmentor '
                'that the config describes'
            )


def _expect_no_losses(
    model: FrozenTraining, keys: tuple[list[str], list[str]]
) -> None:
    """Nothing is missing in a checkpoint of the segmentor alone."""
    missing, _ = keys
    own = {f'losses.{name}' for name, _ in model.losses.named_parameters()}
    if own <= set(missing):
        missing[:] = [k for k in missing if not k.startswith('losses.')]


def _labels(data_samples: list[SegDataSample]) -> Tensor:
    return torch.cat([sample.gt_sem_seg.data for sample in data_samples])
