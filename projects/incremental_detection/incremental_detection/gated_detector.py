"""ROSETTA's detector: gates are drawn open as far as a new task needs it."""

from __future__ import annotations

from mmdet.structures import SampleList
from torch import Tensor

from mmood.losses import find_loss
from mmood.registry import MODELS

from .detector import IncrementalFasterRCNN
from .gated_resnet import GatedResNet
from .prototypes import ClassPrototypes


@MODELS.register_module()
class GatedFasterRCNN(IncrementalFasterRCNN):
    """Incremental Faster R-CNN with task gates in its backbone.

    Needs a `GatedResNet` and, among the RoI head's losses, `ClassPrototypes`.
    Beside the parent's losses

    - ``loss_sparsity``: how many channels are open, of those that no earlier
      task has, times ``sparsity``;
    - ``loss_diversity``, with classes of earlier steps: the negative entropy
      of the share of these channels that is open, times ``diversity`` and
      the prototypes' gap (the gating diversity controller). The further the
      new classes lie from the old ones, the nearer it draws this share to
      one half.

    See `GatedResNet.gate_losses`, `ClassPrototypes.gap`. Source: ROSETTA,
    Yang et al., CVPR 2022; the README says what is taken from where.

    Raises ValueError for a backbone without gates, a head without prototypes,
    and a negative weight.
    """

    def __init__(
        self,
        *args,
        sparsity: float = 0.1,
        diversity: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.backbone, GatedResNet):
            raise ValueError(
                f'backbone is a {type(self.backbone).__name__}, which has no '
                'gates: take mmood.GatedResNet'
            )
        if min(sparsity, diversity) < 0:
            raise ValueError(
                'sparsity and diversity must not be negative, got '
                f'{sparsity} and {diversity}'
            )
        losses = self.roi_head.losses.values()
        find_loss(losses, ClassPrototypes, 'of the gates')
        self.sparsity, self.diversity = sparsity, diversity

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> dict:
        losses = super().loss(batch_inputs, batch_data_samples)
        sparsity, diversity = self.backbone.gate_losses()
        losses['loss_sparsity'] = self.sparsity * sparsity
        if self.num_old:
            parts = self.roi_head.losses.values()
            gap = find_loss(parts, ClassPrototypes, 'of the gates').gap()
            losses['loss_diversity'] = self.diversity * gap * diversity
        return losses
