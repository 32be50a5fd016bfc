"""What is made on ID data belongs to the weights it was made with."""

from __future__ import annotations

import os.path as osp

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import (
    BaseAveragedModel,
    BaseTTAModel,
    is_model_wrapper,
)
from mmengine.runner import Runner, save_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mmood.ops import atomic_write, copy_exact, exact_state, forget_fits
from mmood.scores import FittedScore, Thresholds


class AfterTraining(Hook):
    """Part of the hooks that fit scores and calibrate thresholds.

    Both are made in a validation. The next training step moves the weights,
    so it forgets them; after the last step the model is validated once,
    whatever the loop's ``val_begin`` and ``val_interval``. Checkpoints are
    saved before a validation, so that none can lose a training, and get what
    it made in the end; a checkpoint has fits and thresholds of the weights
    it holds, or none. Where weights are averaged (`EMAHook`), validations
    run on the average; all copies of the model have the same fits.

    Of several such hooks the last one validates and saves.
    """

    _in_training = False
    _is_done = False  # whether the model has what a validation makes
    _may_hold = True  # whether there may be something to forget
    _saved = -1  # iterations behind the last checkpoint
    _resumed: str | None = None  # the checkpoint that a training goes on from

    def before_run(self, runner: Runner) -> None:
        self._in_training = False

    after_run = before_run

    def before_train(self, runner: Runner) -> None:
        _check_order(runner)
        if self._resumed:  # it says itself where it lay when it was written
            runner.message_hub.update_info('last_ckpt', self._resumed)
        self._in_training = self._may_hold = True
        # As after a resume of a training that has ended.
        self._is_done = is_calibrated(unwrapped(runner))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None
    ) -> None:
        if self._may_hold:
            forget(runner)
        self._may_hold = self._is_done = False

    def before_val(self, runner: Runner) -> None:
        if self._is_last(runner):  # before an average takes its place
            share(runner)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        self._is_done = self._may_hold = True

    def after_val(self, runner: Runner) -> None:
        # Only the main process saves, and knows of it.
        is_saved = self._in_training and self._saved == runner.iter
        if is_saved and self._is_last(runner) and is_main_process():
            update_checkpoint(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            self._saved = checkpoint['meta'].get('iter', -1)
            self._resumed = runner._load_from

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._saved = checkpoint['meta'].get('iter', -1)
        if self._is_last(runner):
            put_exact_state(unwrapped(runner), checkpoint)

    def after_train(self, runner: Runner) -> None:
        if not self._is_done and self._is_last(runner) and runner.val_loop:
            try:
                runner.val_loop.run()
            except Exception:
                last = runner.message_hub.get_info('last_ckpt')
                runner.logger.error(
                    'the validation after the training failed. What was '
                    f'trained is in {last}; after a repair of the config '
                    'tools/fit_scores.py fits and calibrates it'
                )
                raise
        is_saved = self._saved == runner.iter or not is_main_process()
        if self._is_last(runner) and not is_saved:
            runner.logger.warning(
                'no checkpoint has the weights of the last iteration, nor '
                'what was fitted on them: set save_last=True in '
                'default_hooks.checkpoint'
            )

    def _is_last(self, runner: Runner) -> bool:
        hooks = [h for h in runner.hooks if isinstance(h, AfterTraining)]
        return hooks[-1] is self


def unwrapped(runner: Runner) -> nn.Module:
    """The model without wrappers, of distributed training or of views."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def averages(runner: Runner) -> list[BaseAveragedModel]:
    """The averages of the model that hooks keep."""
    found = [getattr(hook, 'ema_model', None) for hook in runner.hooks]
    return [average for average in found if average is not None]


def forget(runner: Runner) -> None:
    """Have the model and its averages forget fits and thresholds."""
    forget_fits(unwrapped(runner))
    for average in averages(runner):
        forget_fits(average.module)
        if average.update_buffers:  # it holds on to tensors of other sizes
            average.avg_parameters = average.module.state_dict()


def is_calibrated(model: nn.Module) -> bool:
    """Whether all thresholds of a model are numbers, all scores fitted."""
    return all(
        module.is_fitted
        if isinstance(module, FittedScore)
        else not any(module[name].isnan() for name in module.exact_buffers)
        for module in model.modules()
        if isinstance(module, (FittedScore, Thresholds))
    )


def share(runner: Runner) -> None:
    """Give the averages what must not be averaged: queues, fits, ..."""
    for average in averages(runner):
        copy_exact(unwrapped(runner), average.module)


def put_exact_state(model: nn.Module, checkpoint: dict) -> None:
    """Put the model's exact buffers into a checkpoint, its average too."""
    for name, value in exact_state(model).items():
        checkpoint['state_dict'][name] = value
        if 'ema_state_dict' in checkpoint:
            checkpoint['ema_state_dict'][f'module.{name}'] = value


def update_checkpoint(runner: Runner) -> None:
    """Put fits and thresholds into the last checkpoint, in one step.

    If it holds the model as it is now; the best one, which is saved after a
    validation, has them already. For the main process.
    """
    path = runner.message_hub.get_info('last_ckpt')
    if path is None:
        return
    checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
    if checkpoint['meta'].get('iter') != runner.iter:
        return
    put_exact_state(unwrapped(runner), checkpoint)
    if osp.exists(path):
        with atomic_write(path, 'wb') as file:
            torch.save(checkpoint, file)
    else:  # a store of objects, which are whole or not there
        save_checkpoint(checkpoint, path)
    runner.logger.info(f'{path} has the fits and thresholds now')


def _check_order(runner: Runner) -> None:
    """Raises ValueError if the average is made after it is saved."""
    kinds = [type(hook) for hook in runner.hooks]
    averages = [i for i, k in enumerate(kinds) if issubclass(k, EMAHook)]
    savers = [i for i, k in enumerate(kinds) if issubclass(k, CheckpointHook)]
    if averages and savers and max(averages) > min(savers):
        raise ValueError(
            'EMAHook runs after CheckpointHook, which would save another '
            "average than is validated: set its priority to 'NORMAL'"
        )
