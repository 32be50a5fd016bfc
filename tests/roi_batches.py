"""Batches of RoIs for the losses of open-set detectors."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from mmood.losses.batch import BACKGROUND, IGNORE, OUTLIER, Batch
from mmood.scores import Samples

LEAVES = ('logits', 'features', 'inputs')
NAMES = (*LEAVES, 'labels', 'ious')


def linear_view(maps: Tensor, columns: int = 5) -> Tensor:
    """Logits (n, columns) of maps (n, 2, 2, 2), a fixed linear layer."""
    weight = torch.arange(8.0 * columns).sin().reshape(8, columns)
    return maps.flatten(1) @ weight.to(maps)


def flat(maps: Tensor) -> Samples:
    """A box head whose features are the maps."""
    return Samples(features=maps.flatten(1))


def labels_of(columns: list[int] | Tensor, num_known: int = 3) -> Tensor:
    """Labels of a batch: K is unknown, K + 1 background, -1 ignored."""
    table = torch.tensor([*range(num_known), OUTLIER, BACKGROUND, IGNORE])
    columns = torch.as_tensor(columns, dtype=torch.long)
    return table.to(columns.device)[columns]


def roi_batch(
    columns: list[int] | Tensor = (), num_known: int = 3, **more: object
) -> Batch:
    """Random RoIs of these columns; what is named replaces the random.

    Logits, features and inputs are leaves with a gradient.
    """
    labels = more.pop('labels', labels_of(columns, num_known))
    n = len(labels)
    values = dict(
        logits=torch.randn(n, num_known + 2),
        labels=labels,
        features=torch.randn(n, 6),
        num_classes=num_known,
        classify=partial(linear_view, columns=num_known + 2),
        ious=torch.rand(n, device=labels.device) * (labels >= 0),
        inputs=torch.randn(n, 2, 2, 2),
        view=flat,
        iteration=1000,
    )
    values.update(more)
    for name in LEAVES:
        values[name] = values[name].detach().requires_grad_()
    return Batch(**values)


def copied(batch: Batch) -> Batch:
    """The same, with gradients of its own."""
    return roi_batch(**{name: getattr(batch, name) for name in NAMES})


def gradients(total: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Of those leaves that the loss depends on."""
    found = torch.autograd.grad(
        total,
        [getattr(batch, name) for name in LEAVES],
        allow_unused=True,
        retain_graph=True,
    )
    return {n: g for n, g in zip(LEAVES, found) if g is not None}
