"""Batches of RoIs for the losses of open-set detectors."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from projects.open_set_detection.open_set_detection.roi_batch import RoIBatch

LEAVES = ('logits', 'features', 'inputs')
NAMES = (*LEAVES, 'labels', 'ious')


def linear_view(maps: Tensor, columns: int = 5) -> Tensor:
    """Logits (n, columns) of maps (n, 2, 2, 2), a fixed linear layer."""
    weight = torch.arange(8.0 * columns).sin().reshape(8, columns)
    return maps.flatten(1) @ weight.to(maps)


def roi_batch(
    labels: list[int] | Tensor, num_known: int = 3, **more: object
) -> RoIBatch:
    """Random RoIs with the labels; what is named replaces the random.

    Logits, features and inputs are leaves with a gradient.
    """
    labels = torch.as_tensor(labels, dtype=torch.long)
    n, columns = len(labels), num_known + 2
    values = dict(
        logits=torch.randn(n, columns),
        labels=labels,
        features=torch.randn(n, 6),
        ious=torch.rand(n) * (labels < num_known),
        inputs=torch.randn(n, 2, 2, 2),
        view=partial(linear_view, columns=columns),
        iteration=1000,
    )
    values.update(more)
    for name in LEAVES:
        values[name] = values[name].detach().requires_grad_()
    return RoIBatch(**values)


def rows_of(batch: RoIBatch, rows: slice, **more: object) -> RoIBatch:
    """Some rows of a batch, with gradients of their own."""
    part = {name: getattr(batch, name)[rows] for name in NAMES}
    part.update(
        view=batch.view, iteration=batch.iteration, progress=batch.progress
    )
    return roi_batch(num_known=batch.num_known, **{**part, **more})


def gradients(total: Tensor, batch: RoIBatch) -> dict[str, Tensor]:
    """Of those leaves that the loss depends on."""
    found = torch.autograd.grad(
        total,
        [getattr(batch, name) for name in LEAVES],
        allow_unused=True,
        retain_graph=True,
    )
    return {n: g for n, g in zip(LEAVES, found) if g is not None}
