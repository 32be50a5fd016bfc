"""Gradient preconditioning by layers that learn from stored images alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmood.hooks.after_training import unwrapped
from mmood.registry import HOOKS


@HOOKS.register_module()
class WarpGradientHook(Hook):
    """Train warp layers on stored images, all else on the task's images.

    The warp layers are not updated in the task's steps: they shape the
    gradients that pass through them. After every ``interval``-th iteration
    a warp step, on a batch of stored images of all classes with the model's
    whole loss, updates them and nothing else. What is not updated has no
    gradient, so that momentum and weight decay leave it alone too. Source:
    Joseph et al., "Incremental Object Detection via Meta-Learning", TPAMI
    2021.

    A warp step is no iteration: it changes no buffer (batch statistics,
    queues), no learning rate and no logged value. Clipping by norm, if any,
    sees the gradients of all parameters in both kinds of step.

    Args:
        layers: names of modules or parameters of the model, such as
            ``'roi_head.bbox_head.shared_fcs.1'``; without the ``module.`` of
            a distributed wrapper.
        dataloader: config of the loader of stored images, with the training
            pipeline, without a sampler. Batches follow from ``seed`` and the
            iteration alone, so a resumed training gets the same.
        interval: iterations from one warp step to the next.

    Raises ValueError, when the training starts, if a name is that of no
    trained parameter, if there is no batch of stored images, or if gradients
    are accumulated over iterations.
    """

    # After the hooks that log an iteration, before those that end it.
    priority = 'NORMAL'

    def __init__(
        self,
        layers: Sequence[str],
        dataloader: dict,
        interval: int = 20,
        seed: int = 0,
    ) -> None:
        if isinstance(layers, str) or not layers:
            raise ValueError(
                f'layers must be a list with at least one name, got {layers!r}'
            )
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        if 'sampler' in dataloader:
            raise ValueError(
                f'dataloader has sampler={dataloader["sampler"]}: leave it '
                'out, the hook brings its own'
            )
        self.layers, self.interval = list(layers), interval
        self.dataloader, self.seed = dataloader, seed
        self._in_warp_step = False

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        if getattr(wrapper, '_accumulative_counts', 1) > 1:
            raise ValueError(
                'WarpGradientHook needs an update in every iteration: set '
                'optim_wrapper.accumulative_counts=1'
            )
        parameters = warp_parameters(unwrapped(runner), self.layers)
        self._warp = {id(parameter) for parameter in parameters}
        self._handle = wrapper.optimizer.register_step_pre_hook(self._hide)
        sampler = dict(type='DefaultSampler', shuffle=True, seed=self.seed)
        loader = runner.build_dataloader(
            dict(self.dataloader, sampler=sampler), seed=runner.seed
        )
        if not len(loader):
            raise ValueError(
                'dataloader of WarpGradientHook gives no batch: it has '
                f'{len(loader.dataset)} images stored and batch_size='
                f'{loader.batch_size}'
            )
        self._batches = endless(loader, runner.iter // self.interval)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        if not self.every_n_train_iters(runner, self.interval):
            return
        batch, wrapper = next(self._batches), runner.optim_wrapper
        self._in_warp_step = True
        with kept_buffers(runner.model), unlogged(wrapper):
            runner.model.train_step(batch, wrapper)
        self._in_warp_step = False

    def after_train(self, runner: Runner) -> None:
        self._handle.remove()
        del self._batches

    def _hide(
        self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict
    ) -> None:
        """Take the gradients of what is not to be updated now.

        The optimizer calls it, so after all ranks' gradients are reduced.
        """
        for group in optimizer.param_groups:
            for parameter in group['params']:
                if (id(parameter) in self._warp) != self._in_warp_step:
                    parameter.grad = None


def warp_parameters(
    model: nn.Module, layers: Sequence[str]
) -> list[nn.Parameter]:
    """Trained parameters of modules, or parameters, of these names.

    Raises ValueError for a name without any.
    """
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found: dict[str, nn.Parameter] = {}
    for layer in layers:
        names = [n for n in trained if f'{n}.'.startswith(f'{layer}.')]
        if not names:
            raise ValueError(
                f'layers has {layer!r}, and the model no trained parameter '
                'of that name or under it: give names without a "module.", '
                f'such as {list(trained)[-1]!r}'
            )
        found.update({name: trained[name] for name in names})
    return list(found.values())


def endless(loader: DataLoader, skip: int = 0) -> Iterator:
    """Batches of one shuffled pass after another, from batch ``skip`` on."""
    epoch, skip = divmod(skip, len(loader))
    while True:
        loader.sampler.set_epoch(epoch)
        yield from islice(loader, skip, None)
        epoch, skip = epoch + 1, 0


@contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Undo what happens to a model's buffers inside."""
    before = {name: b.clone() for name, b in model.named_buffers()}
    yield
    for name, buffer in model.named_buffers():
        buffer.copy_(before[name])


@contextmanager
def unlogged(wrapper: OptimWrapper) -> Iterator[None]:
    """Keep gradient norms out of the log."""
    hub = wrapper.message_hub
    wrapper.message_hub = MessageHub('warp_step')
    yield
    wrapper.message_hub = hub
