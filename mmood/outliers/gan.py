"""Outliers from a generator that learns to come near the known features.

Paper: Lee et al., "Training Confidence-calibrated Classifiers for Detecting
Out-of-Distribution Samples", ICLR 2018; GAN-synthesis in VOS's and DFDD's
tables.

Shapes: N samples, C channels, M outliers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mmood.losses import Batch
from mmood.ops import rank_mean
from mmood.registry import MODELS
from mmood.scores import Samples

from .source import OutlierSource


def reverse_gradient(x: Tensor) -> Tensor:
    """``x``, to the bit; its gradient is the negative of what arrives.

    Source: Ganin and Lempitsky, "Unsupervised Domain Adaptation by
    Backpropagation", ICML 2015, Eq. 16 and 17.
    """
    return 2 * x.detach() - x


def gan_loss(known_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``-mean log D(x) - mean log(1 - D(G(z)))``, a scalar >= 0, nats.

    Logits (N,) and (M,) of ``D = sigmoid``. An empty side adds 0. Means are
    over all ranks, a collective call.
    Source: Lee et al., ICLR 2018, the GAN terms of Eq. 3.
    """
    known, fake = F.softplus(-known_logits), F.softplus(fake_logits)
    return rank_mean(known) + rank_mean(fake)


@MODELS.register_module()
class GANSynthesis(OutlierSource):
    """Outliers from a generator G, against a discriminator D.

    The paper solves ``min_G max_D min_theta E_known[-log P(y|x)] +
    beta E_G[KL(U || P(y|x))] + E_known[log D(x)] + E_G[log(1 - D(x))]``
    (Eq. 4). Here ``loss_gan`` has the terms with D, and `ConfidenceLoss`
    the one with beta: the outliers carry its gradient back to G, which moves
    to where the classifier is unsure, at the border of the known features.
    With another outlier loss G would learn to make outliers easy.

    What is adapted: G makes RoI features instead of images, >= 0 as behind a
    ReLU; G and D have two hidden layers; P is the softmax over the known
    classes, without the background; one optimizer drives all parts, so that
    instead of alternate updates the gradient between G and D is reversed.
    That is Eq. 4 as it stands; the authors' code lets G minimise
    ``-log D(G(z))`` instead. The layers of D are spectrally normalised
    (Miyato et al., ICLR 2018): without, D soon tells all samples apart at
    a detector's learning rate, and G stands still. The known features are
    detached.

    Args:
        latent: size of z ~ N(0, I).
        hidden: width of G and D; None: C.
        num_samples: M; None: as many as there are known features.
        loss_weight: of ``loss_gan``.
        start: see `OutlierSource`.
    """

    reads = ('classify',)

    def __init__(
        self,
        channels: int,
        *,
        latent: int = 100,
        hidden: int | None = None,
        num_samples: int | None = None,
        loss_weight: float = 1.0,
        **start: Any,
    ) -> None:
        super().__init__(**start)
        hidden = channels if hidden is None else hidden
        sizes: tuple[int, ...] = (channels, latent, hidden)
        if num_samples is not None:
            sizes = *sizes, num_samples
        if min(sizes) < 1:
            raise ValueError(
                'channels, latent, hidden and num_samples must be at least '
                f'1, got {sizes}'
            )
        self.latent = latent
        self.num_samples = num_samples
        self.loss_weight = loss_weight
        self.generator = _mlp(latent, hidden, channels)
        self.discriminator = _mlp(channels, hidden, 1)
        for i in range(0, len(self.discriminator), 2):
            spectral_norm(self.discriminator[i])

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        """Outliers of features >= 0, and ``loss_gan`` on the known ones.

        G and D learn in every call, also before outliers count.
        """
        features = batch.known.features
        number = self.num_samples
        if number is None:
            number = len(features)
        with torch.autocast(features.device.type, enabled=False):
            known = features.detach().to(next(self.parameters()).dtype)
            fake = self.generate(number)
            both = torch.cat([known, reverse_gradient(fake)])
            logits = self.discriminator(both).flatten()
            loss = gan_loss(*logits.split([len(known), number]))
        losses = {'loss_gan': self.loss_weight * loss}
        if not self.is_active(batch):
            return None, losses
        outliers = batch.classified(fake.to(features.dtype))
        return (outliers if number else None), losses

    def generate(self, number: int) -> Tensor:
        """New samples of G, (number, C), >= 0."""
        weight = next(self.generator.parameters())
        z = torch.randn_like(weight.new_empty(number, self.latent))
        return F.relu(self.generator(z))


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )
