"""Fit the model's thresholds on in-distribution validation data."""

from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmood.registry import HOOKS

_BUFFERS = ('ood_threshold', 'score_threshold')


@HOOKS.register_module()
class CalibrateOODHook(Hook):
    """Validate after the last iteration and store the thresholds found.

    The validation metric (`OODDetMetric`) returns ``ood/ood_threshold`` and
    ``ood/score_threshold``, both from ID images alone; the model's buffers of
    these names take them, before the last checkpoint is written. A validation
    that the loop runs earlier sets them too, so that any later checkpoint has
    some. Raises ValueError if the metric returns no threshold or the model
    has no such buffer.
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

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        holders = [m for m in model.modules() if hasattr(m, _BUFFERS[0])]
        for name in _BUFFERS:
            value = (metrics or {}).get(f'ood/{name}')
            if value is None or not holders:
                raise ValueError(
                    f'cannot calibrate {name}: the validation metric must be '
                    'an mmood.OODDetMetric and the RoI head an '
                    f'mmood.OODRoIHead; metrics are {sorted(metrics or {})}'
                )
            if math.isnan(value):
                runner.logger.warning(
                    f'{name} stays uncalibrated: no kept box on the ID '
                    'validation images'
                )
                continue
            for holder in holders:
                getattr(holder, name).fill_(value)
