"""Modules that stay as they are while others are trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Train no parameter that one of these holds itself; returns the list."""
    fixed = list(modules)
    for module in fixed:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    return fixed


def keep_statistics(
    backbone: nn.Module, fixed: Iterable[nn.Module], norm_eval: bool
) -> None:
    """What ``train`` does: fixed modules, or all batch norms, are at test."""
    for module in fixed:
        module.training = False
    if norm_eval:
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.training = False
