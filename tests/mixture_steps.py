"""Training steps of Gaussian mixtures on given embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmood.losses import GaussianMixtures

K, M, D = 3, 2, 8
OPTIONS = dict(
    num_classes=K,
    channels=D,
    num_components=M,
    queue_size=12,
    max_enqueued=4,
    interval=2,
    momentum=(0.5, 0.0),
)


def started(**options) -> GaussianMixtures:
    """Mixtures whose means lie near the directions of their classes."""
    mixtures = GaussianMixtures(**{**OPTIONS, **options})
    centres = torch.eye(K, D)[:, None] + 0.1 * torch.randn(K, M, D)
    mixtures.means.copy_(F.normalize(centres, dim=-1))
    return mixtures


def steps(count: int, images: int = 4, classes: int = K) -> list[tuple]:
    """Unit maps (B, D, 5, 3) near a direction of their class, and labels.

    A tenth of the labels is 255.
    """
    found = []
    centres = torch.eye(K, D)
    for _ in range(count):
        labels = torch.randint(classes, (images, 5, 3))
        x = centres[labels] + 0.2 * torch.randn(images, 5, 3, D)
        labels[torch.rand(labels.shape) < 0.1] = 255
        found.append((F.normalize(x, dim=-1).movedim(-1, 1), labels))
    return found


def step(
    mixtures: GaussianMixtures, x: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient; the densest class is the predicted one."""
    x = x.clone().requires_grad_()
    densities = mixtures(x)
    loss = mixtures.learn(x, densities, labels, densities.amax(2).argmax(1))
    return loss.detach(), torch.autograd.grad(loss, x)[0]


def train(options: dict, state: dict, batches: list) -> dict:
    mixtures = GaussianMixtures(**options)
    mixtures.load_state_dict(state)
    found = [step(mixtures, *batch) for batch in batches]
    return dict(
        state=mixtures.state_dict(),
        losses=[loss for loss, _ in found],
        gradients=[gradient for _, gradient in found],
    )
