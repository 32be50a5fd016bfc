"""Fit the model's thresholds on in-distribution validation data."""

from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmood.registry import HOOKS

_BUFFERS = ('ood_threshold', 'score_threshold')


@HOOKS.register_module()
class CalibrateOODHook(Hook):
    """Validate after the last iteration and store the thresholds found.

    The validation metric (`OODDetMetric`, `OpenSetDetMetric`,
    `OODSegMetric`) returns ``ood/ood_threshold`` and, for boxes,
    ``ood/score_threshold``, from ID images alone; the model's buffers of
    these names take them, before the last checkpoint is written. A
    validation that the loop runs earlier sets them too, so that any later
    checkpoint has some. Raises ValueError if the metric returns no threshold
    or the model has no such buffer.
    """

    priority = 'NORMAL'  # before CheckpointHook

    def after_train_iter(
        self, runner: Runner, batch_idx: int, *args, **kwargs
    ) -> None:
        if runner.iter + 1 == runner.max_iters:
            if runner.val_loop is None:
                raise ValueError(
                    'CalibrateOODHook needs ID images: set val_dataloader, '
                    'val_cfg and val_evaluator'
                )
            runner.val_loop.run()
            runner.model.train()

    def before_val_epoch(self, runner: Runner) -> None:
        # What an earlier calibration says must not change this one, as
        # where boxes above the threshold lose their class.
        for _, buffer in thresholds(runner.model):
            buffer.fill_(float('nan'))

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        buffers = thresholds(runner.model)
        metrics = metrics or {}
        missing = [n for n, _ in buffers if f'ood/{n}' not in metrics]
        if missing or not buffers:
            raise ValueError(
                f'cannot calibrate {missing or _BUFFERS[0]}: the validation '
                'metric must be an mmood.OODDetMetric, mmood.OpenSetDetMetric '
                'or mmood.OODSegMetric, the model have an mmood.OODRoIHead or '
                'be an mmood.OODEncoderDecoder; metrics are '
                f'{sorted(metrics)}'
            )
        for name, buffer in buffers:
            value = metrics[f'ood/{name}']
            if math.isnan(value):
                runner.logger.warning(
                    f'{name} stays uncalibrated: nothing to fit it on in '
                    'the ID validation images'
                )
            else:
                buffer.fill_(value)


def thresholds(model: nn.Module) -> list[tuple[str, Tensor]]:
    """The buffers of a model that are calibrated, by name."""
    model = model.module if is_model_wrapper(model) else model
    return [
        (name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name in _BUFFERS
    ]
