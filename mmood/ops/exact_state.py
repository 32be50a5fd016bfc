"""State that weight averaging must copy instead of averaging it.

A module names such buffers in ``exact_buffers``: queues, ranges, what was
fitted or calibrated on ID data. Of these, what holds for one set of weights
alone has a ``forget()`` in its module, which makes it what it was when the
model was built.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def exact_parts(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The modules that have exact buffers, with their names."""
    for name, module in model.named_modules():
        if hasattr(module, 'exact_buffers'):
            yield name, module


@torch.no_grad()
def copy_exact(source: nn.Module, target: nn.Module) -> None:
    """Give ``target``, a copy of ``source``, the same exact buffers."""
    parts = dict(target.named_modules())
    for name, module in exact_parts(source):
        for buffer in module.exact_buffers:
            value, own = getattr(module, buffer), getattr(parts[name], buffer)
            if own.shape == value.shape:
                own.copy_(value)
            else:
                setattr(parts[name], buffer, value.clone().to(own.device))


def exact_state(model: nn.Module) -> dict[str, Tensor]:
    """The exact buffers by their keys in the state dict, on the CPU."""
    return {
        f'{name}.{buffer}' if name else buffer: getattr(module, buffer)
        .detach()
        .cpu()
        .clone()
        for name, module in exact_parts(model)
        for buffer in module.exact_buffers
    }


def forget_fits(model: nn.Module) -> None:
    """Have the model forget what was fitted or calibrated."""
    for _, module in exact_parts(model):
        if hasattr(module, 'forget'):
            module.forget()
