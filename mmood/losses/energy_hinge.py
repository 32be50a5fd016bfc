"""Energy of known pixels below a bound, of outliers above another.

Shapes: B images, K classes, H x W pixels.
"""

from __future__ import annotations

from torch import Tensor

from mmood.registry import MODELS
from mmood.scores import energy, joint_energy

from .batch import Batch
from .pixels import PixelLoss, squared_hinge


@MODELS.register_module()
class EnergyHingeLoss(PixelLoss):
    """``w (mean relu(E - m_in)^2 + mean relu(m_out - E)^2)``.

    E is the free energy of a pixel's logits, of the kind ``'sigmoid'`` the
    joint one; the first mean is over known pixels, the second over outliers,
    each of all ranks. A scalar >= 0, in squared nats; computed in float32
    also under autocast.
    Source: Liu et al., "Energy-based Out-of-distribution Detection",
    NeurIPS 2020, Eqs. 7 and 8; the bounds are the public code's for images
    of CIFAR, with weight 0.1. They belong around the energies of a trained
    classifier, so other models may want others.

    Args:
        m_in: what the energies of known pixels should be below.
        m_out: what those of outliers should be above.
        loss_weight: w.

    Raises ValueError unless m_in < m_out.
    """

    def __init__(
        self,
        m_in: float = -25.0,
        m_out: float = -7.0,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        if not m_in < m_out:
            raise ValueError(
                f'm_in={m_in} must be below m_out={m_out}: known pixels have '
                'the smaller energy'
            )
        self.m_in, self.m_out, self.loss_weight = m_in, m_out, loss_weight

    def score(self, logits: Tensor, kind: str) -> Tensor:
        return joint_energy(logits) if kind == 'sigmoid' else energy(logits)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        scores = self.scores(batch)
        loss = squared_hinge(scores, batch.labels, self.m_in, self.m_out)
        return dict(loss_energy_hinge=self.loss_weight * loss)
