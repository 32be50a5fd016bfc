"""Keeps the weights of what earlier tasks use."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmood.hooks.after_training import unwrapped
from mmood.registry import HOOKS

from .gated_resnet import GatedResNet


@HOOKS.register_module()
class SubModelHook(Hook):
    """Keep the filters and norms of channels that earlier tasks use.

    After each step of the optimizer they are what they were when the training
    started, whatever momentum and weight decay made of them. So the sub-model
    of an earlier task gives what it gave. Clipping by norm, if any, sees the
    gradients of all parameters.

    Raises ValueError, when the training starts, for a detector whose backbone
    is no `GatedResNet`.
    """

    def before_train(self, runner: Runner) -> None:
        backbone = unwrapped(runner).backbone
        if not isinstance(backbone, GatedResNet):
            raise ValueError(
                f'SubModelHook needs an mmood.GatedResNet, not a '
                f'{type(backbone).__name__}: take the hook out, or that '
                'backbone'
            )
        self._kept = [
            (parameter, rows.clone(), parameter.detach()[rows].clone())
            for parameter, rows in backbone.kept()
        ]
        optimizer = runner.optim_wrapper.optimizer
        self._handle = optimizer.register_step_post_hook(self._restore)

    def after_train(self, runner: Runner) -> None:
        self._handle.remove()
        del self._kept

    @torch.no_grad()
    def _restore(self, *_) -> None:
        for parameter, rows, values in self._kept:
            parameter[rows] = values
