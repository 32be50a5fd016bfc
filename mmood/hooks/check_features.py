"""Check that cached features were made with this config and these weights."""

from __future__ import annotations

import zlib

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmood.registry import HOOKS

from .after_training import unwrapped

# Of the model's config: what comes after its features.
_AFTER = ('scores', 'losses', 'upsample', 'train_cfg', 'test_cfg')


@HOOKS.register_module()
class CheckFeaturesHook(Hook):
    """Refuse a training on cached features of another segmentor.

    Before the first iteration, with the weights that it starts from. Without
    a cache nothing is done. Raises ValueError with what differs.
    """

    def before_train(self, runner: Runner) -> None:
        cache = getattr(runner.train_dataloader.dataset, 'cache', None)
        if cache is None:
            return
        model = unwrapped(runner)
        check_weights = getattr(model, 'check_weights', None)
        if check_weights is not None:
            check_weights()
        for key, value in source_of(runner.cfg, model).items():
            if cache.about.get(key) != value:
                raise ValueError(
                    f'{cache.folder} holds features of another {key} '
                    f'({cache.about.get(key)} there, {value} now): extract '
                    "them with this training's config, options and load_from "
                    'into another folder (tools/extract_features.py)'
                )


def source_of(cfg: Config, model: nn.Module) -> dict[str, int]:
    """Checksums of what features follow from: ``config`` and ``segmentor``.

    Those of the segmentor's and the image set's config, and of all that is
    in the segmentor's state.
    """
    parts = {k: v for k, v in cfg.model.to_dict().items() if k not in _AFTER}
    images = cfg.train_dataloader.dataset.dataset.to_dict()
    checksum = 0
    for name, value in sorted(model.state_dict().items()):
        if name.startswith(('losses.', 'scores.', 'ood_threshold')):
            continue
        checksum = zlib.crc32(name.encode(), checksum)
        content = value.detach().cpu().contiguous().reshape(-1)
        checksum = zlib.crc32(content.view(torch.uint8).numpy(), checksum)
    return dict(
        config=zlib.crc32(repr((parts, images)).encode()), segmentor=checksum
    )
