"""Batches as the heads make them, for losses and sources of outliers.

Shapes: N known rows, M outliers, K classes, C features, * any trailing shape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmood.losses import BACKGROUND, Batch
from mmood.scores import Samples


def contrast_batch(
    known: Tensor,
    outlier: Tensor | None = None,
    background: Tensor | None = None,
    **more: object,
) -> Batch:
    """Known rows (N, K, *), outliers (M, K, *) and rows on no object.

    The features are the same numbers. The background's logit is 50.
    """
    rows = known if background is None else torch.cat([known, background])
    labels = torch.full((len(rows),), BACKGROUND)
    labels[: len(known)] = 0
    own = torch.full_like(rows[:, :1], 50)
    if outlier is not None:
        more['outliers'] = Samples(logits=outlier, features=outlier)
    return Batch(
        logits=torch.cat([rows, own], 1),
        labels=labels,
        features=rows,
        num_classes=rows.shape[1],
        **more,
    )


@torch.autocast('cpu', enabled=False)
def classify(features: Tensor, classes: int = 3) -> Tensor:
    """Logits (N, K + 1) of features (N, C), by a fixed layer."""
    count = features.shape[1] * (classes + 1)
    weight = torch.arange(count).sin().view(features.shape[1], classes + 1)
    return (features.double() @ weight.double()).to(features)


def known_batch(
    features: Tensor,
    labels: Tensor | list[int] | None = None,
    classes: int = 3,
    **more: object,
) -> Batch:
    """Rows (N, C) of known classes, 0 by default, and their classifier."""
    if labels is None:
        labels = torch.zeros(len(features)).long()
    return Batch(
        logits=classify(features, classes),
        labels=torch.as_tensor(labels),
        features=features,
        num_classes=classes,
        classify=lambda x: classify(x, classes),
        **more,
    )


def as_ranks(
    monkeypatch: pytest.MonkeyPatch, *calls: Callable[[], object]
) -> list:
    """What calls return as the ranks of one group.

    Each is made twice: to learn its counts, and with the ranks' mean counts.
    """
    module = sys.modules['mmood.ops.rank_mean']
    seen: list[list[Tensor]] = []
    for call in calls:
        counts: list[Tensor] = []
        monkeypatch.setattr(
            module, 'all_reduce', lambda x, op, to=counts: to.append(x.clone())
        )
        call()
        seen.append(counts)
    means = [sum(own) / len(calls) for own in zip(*seen)]
    found = []
    for call in calls:
        left = iter(means)
        monkeypatch.setattr(
            module, 'all_reduce', lambda x, op, of=left: x.copy_(next(of))
        )
        found.append(call())
    monkeypatch.undo()
    return found


def full_batch(
    rows: Tensor, outliers: Tensor, labels: Tensor, classes: int = 4
) -> Batch:
    """All that a head can show of rows (N, C) and outliers (M, C), C > K.

    The first columns of the features are the logits of the classes, their
    mirror image the features on other maps. Inputs are maps (N, C, 2, 2).
    """

    def samples(features: Tensor) -> Samples:
        return Samples(logits=features[:, :classes], features=features)

    def inputs(features: Tensor) -> Tensor:
        return features[..., None, None].expand(-1, -1, 2, 2)

    known = (labels >= 0).nonzero()[:, 0]
    return Batch(
        logits=rows[:, : classes + 1],
        labels=labels,
        features=rows,
        num_classes=classes,
        classify=lambda features: features[:, : classes + 1],
        inputs=inputs(rows),
        view=lambda maps: samples(maps[..., 0, 0]),
        look=lambda name, detach=False: samples(rows[known].flip(1)),
        jitter=lambda: inputs(rows[known] * 0.9),
        outliers=samples(outliers),
        ious=(labels >= 0).to(rows),
        layers=lambda: [(rows, labels)],
        iteration=1000,
        max_iters=2000,
    )
