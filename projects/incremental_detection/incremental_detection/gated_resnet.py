"""ResNet with a gate behind every normalization layer that is trained."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmdet.models.backbones import ResNet
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmood.registry import MODELS

from .gates import TaskGate, exclusive_share, negative_entropy


@MODELS.register_module()
class GatedResNet(ResNet):
    """ResNet in which each task uses, and later ones keep, some channels.

    A `TaskGate` follows each batch normalization in a block whose convolution
    is trained; frozen stages have none. A stem that is trained has none
    either, and the first task has all of it. The keys of the ResNet's
    checkpoints stay as they are. Take `SubModelHook` to keep what earlier
    tasks use, and `GatedFasterRCNN` to train the gates.

    Args:
        task: number of the task, from 1, see `TaskGate`.
        gate: further arguments of `TaskGate`.

    Raises ValueError for a ``task`` below 1; for a later task than the first
    without ``norm_eval``, because the statistics of kept channels would
    move; with ``with_cp``, for every step would be counted twice; and if
    nothing is left to gate.
    """

    def __init__(
        self, *args, task: int = 1, gate: dict | None = None, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        if task < 1:
            raise ValueError(f'task is counted from 1, got {task}')
        if task > 1 and not self.norm_eval:
            raise ValueError(
                f'task={task} with norm_eval=False would move the statistics '
                'of channels that earlier tasks use: set norm_eval=True'
            )
        if self.with_cp:
            raise ValueError(
                'with_cp=True runs each block twice, and gates are drawn and '
                'counted once: set with_cp=False'
            )
        self.task, self._layers = task, dict(_trained_layers(self))
        self.gates = nn.ModuleDict()
        for name, (_, norm) in self._layers.items():
            if not name.startswith('layer'):
                continue
            layer = self.get_submodule(norm)
            own = TaskGate(layer.num_features, task=task, **(gate or {}))
            layer.register_forward_hook(own.after_layer)
            self.gates[name] = own
        if not self.gates:
            raise ValueError(
                f'frozen_stages={self.frozen_stages} leaves no convolution '
                'with batch normalization to gate'
            )

    def kept(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Trained parameters, and which of their rows earlier tasks use.

        Rows (C,) of a convolution are its filters.
        """
        for name, layers in self._layers.items():
            for layer in layers:
                for parameter in self.get_submodule(layer).parameters():
                    if not parameter.requires_grad:
                        continue
                    if name in self.gates:
                        rows = self.gates[name].is_kept
                    else:
                        rows = parameter.new_full(
                            parameter.shape[:1], self.task > 1, dtype=bool
                        )
                    yield parameter, rows

    def gate_losses(self) -> tuple[Tensor, Tensor]:
        """How much is open, and how unevenly: sparsity and diversity.

        Of the last training step and the channels that no earlier task has:
        the mean over images and channels of the probabilities to be open, in
        [0, 1], and the mean over images and layers of the `negative_entropy`
        of the share of a layer that is open. Both are 0 where there are no
        such channels. Also counts the step, on all ranks: a collective call.
        """
        opened, number, diversity = [], [], []
        steps = {n: gate.take_step() for n, gate in self.gates.items()}
        for name, (probabilities, gates) in steps.items():
            is_free = ~self.gates[name].is_kept
            opened.append((probabilities * is_free).sum(1).mean())
            number.append(is_free.sum())
            value = negative_entropy(exclusive_share(gates, is_free)).mean()
            diversity.append(torch.where(number[-1] > 0, value, 0.0))
        self._count([gates for _, gates in steps.values()])
        total = torch.stack(number).sum().clamp(min=1)
        sparsity = torch.stack(opened).sum() / total
        return sparsity, torch.stack(diversity).mean()

    @torch.no_grad()
    def _count(self, gates: list[Tensor]) -> None:
        opened = torch.cat([part.mean(0) for part in gates])
        all_reduce(opened, 'mean')
        parts = opened.split([part.shape[1] for part in gates])
        for gate, part in zip(self.gates.values(), parts):
            gate.count(part)


def _trained_layers(
    backbone: nn.Module,
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Names of a convolution and its normalization, by one for a gate.

    In a ResNet's blocks and stems each normalization is registered behind
    its convolution.
    """
    conv, is_trained = '', False
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            conv, is_trained = name, module.weight.requires_grad
        elif isinstance(module, _BatchNorm) and is_trained:
            yield name.replace('.', '_'), (conv, name)
