"""Fit the model's thresholds on in-distribution validation data."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mmengine.runner import Runner
from torch import Tensor, nn

from mmood.registry import HOOKS
from mmood.scores import Thresholds

from .after_training import AfterTraining, share, unwrapped


@HOOKS.register_module()
class CalibrateOODHook(AfterTraining):
    """Store the thresholds that a validation finds, by the scores' names.

    The validation metric (`OODDetMetric`, `OpenSetDetMetric`,
    `OODSegMetric`) returns ``ood/ood_threshold/<score>`` and, for boxes,
    ``ood/score_threshold``, from ID images alone. See `AfterTraining` for
    when that is. A test is told what of a checkpoint's thresholds does not
    fit the scores. Raises ValueError without a validation set, if the metric
    returns no threshold or if the model has no place for one.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        check_validation(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        # What an earlier calibration says must not change this one, as
        # where boxes above the threshold lose their class.
        for _, buffer in thresholds(unwrapped(runner)):
            buffer.fill_(float('nan'))
        share(runner)
        if self._in_training:
            number = len(runner.val_loop.dataloader.dataset)
            last = runner.message_hub.get_info('last_ckpt')
            saved = f'; the training so far is in {last}' if last else ''
            runner.logger.info(f'validating on {number} images{saved}')

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        buffers = thresholds(unwrapped(runner))
        found = {key: (metrics or {}).get(key) for key, _ in buffers}
        if not found or all(value is None for value in found.values()):
            raise ValueError(
                f'cannot calibrate {_names(found) or "ood_threshold"}: the '
                'validation metric must be an mmood.OODDetMetric, '
                'mmood.OpenSetDetMetric or mmood.OODSegMetric, and the model '
                'have scores, as an mmood.OODRoIHead or an '
                'mmood.OODEncoderDecoder has; metrics are '
                f'{sorted(metrics or {})}'
            )
        for key, buffer in buffers:
            value = found[key]
            if value is None or not math.isfinite(value):
                runner.logger.warning(
                    f'{_names([key])} stays uncalibrated: nothing to fit it '
                    'on in the ID validation images, or no finite score'
                )
            else:
                buffer.fill_(value)
        share(runner)
        super().after_val_epoch(runner, metrics)

    def before_test_epoch(self, runner: Runner) -> None:
        """Say why thresholds of the checkpoint are not this model's."""
        for module in unwrapped(runner).modules():
            if not isinstance(module, Thresholds):
                continue
            for name, reason in module.reasons.items():
                if module[name].isnan():
                    runner.logger.warning(
                        f'{reason}: nothing is called OOD by it. Run '
                        'tools/fit_scores.py with this config'
                    )


def check_validation(runner: Runner) -> None:
    """Raise ValueError if there is nothing to calibrate on."""
    if runner.val_loop is None:
        raise ValueError(
            'thresholds are calibrated on ID images: set val_dataloader, '
            'val_cfg and val_evaluator'
        )


def _names(keys: Iterable[str]) -> str:
    return ', '.join(key.removeprefix('ood/') for key in keys)


def thresholds(model: nn.Module) -> list[tuple[str, Tensor]]:
    """What is calibrated in a model: metrics' names and buffers."""
    found = []
    for module in model.modules():
        buffers = dict(module.named_buffers(recurse=False))
        if isinstance(module, Thresholds):
            found += [
                (f'ood/ood_threshold/{k}', v) for k, v in buffers.items()
            ]
        elif 'score_threshold' in buffers:
            found.append(('ood/score_threshold', buffers['score_threshold']))
    return found
