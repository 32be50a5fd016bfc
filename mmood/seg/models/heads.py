"""What the decode heads of MMSegmentation say while they train.

Shapes: B images, K classes, H x W pixels, h x w cells of a feature map, N
queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmood.scores import MaskQueries

from .mask_heads import kind_of, losses_of


def mask_sums(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """``L_k = sum_n p_nk sigmoid(m_n)``, p without "no object", in [0, N].

    (B, N, K + 1) and (B, N, h, w) -> (B, K, h, w), float32 also under
    autocast. Source: Cheng et al., "Per-Pixel Classification is Not All You
    Need", NeurIPS 2021, Sec. 3.4.
    """
    with torch.autocast(class_logits.device.type, enabled=False):
        chances = class_logits.float().softmax(-1)[..., :-1]
        masks = mask_logits.float().sigmoid()
        return torch.einsum('bnk,bnhw->bkhw', chances, masks)


class TrainOutputs:
    """What a decode head said when its losses were computed, with gradients.

    Attributes:
        masks: (class logits (B, N, K + 1), mask logits (B, N, h, w)) of the
            last layer of a head that classifies masks.
        logits: of its other losses, (B, K, H, W).
        classified: what its layer ``conv_seg`` made, (B, K, h, w).
    """

    def __init__(self, head: BaseDecodeHead) -> None:
        self.head = head
        self.masks: tuple[Tensor, Tensor] | None = None
        self.logits: list[Tensor] = []
        self.classified: Tensor | None = None

    def take_masks(self, _: nn.Module, __: tuple, found: tuple) -> None:
        self.masks = found[0][-1], found[1][-1]

    def take_logits(self, _: nn.Module, inputs: tuple, named: dict) -> None:
        logits = next(iter((*inputs, *named.values())), None)
        if (
            isinstance(logits, Tensor)
            and logits.dim() == 4
            and logits.shape[1] == self.head.out_channels
            and all(logits is not one for one in self.logits)
        ):
            self.logits.append(logits)

    def take_classified(self, _: nn.Module, __: tuple, found: Tensor) -> None:
        self.classified = found

    def queries(self, size: tuple[int, int]) -> MaskQueries | None:
        """Those of a head that classifies masks, for images of ``size``."""
        return self.masks and MaskQueries(*self.masks, size)

    def maps(self) -> Tensor:
        """Logits (B, K, h, w) of the prediction.

        Of several that have a loss, as those of stages or branches, what
        ``conv_seg`` made, or without it those of the last stage. Raises
        ValueError if there were none.
        """
        if self.masks is not None:
            return mask_sums(*self.masks)
        if len(self.logits) != 1 and self.classified is not None:
            return self.classified
        if not self.logits:
            name = type(self.head).__name__
            raise ValueError(
                f'pixel_losses need the logits of {name}, whose losses got '
                'none and which has no layer conv_seg: take a head of '
                'mmseg with loss_decode, or one that classifies masks'
            )
        return self.logits[-1]


@contextmanager
def record_training(head: BaseDecodeHead) -> Iterator[TrainOutputs]:
    """Note what a head says in its ``loss`` inside, by hooks on its parts.

    mmseg's heads call their own ``forward`` past any hook on themselves, so
    the logits are those that reach the losses.
    """
    found = TrainOutputs(head)
    with ExitStack() as stack:
        if kind_of(head) == 'mask':
            handles = [head.register_forward_hook(found.take_masks)]
        else:
            handles = [
                loss.register_forward_pre_hook(
                    found.take_logits, with_kwargs=True
                )
                for loss in losses_of(head)
            ]
            layer = getattr(head, 'conv_seg', None)
            if isinstance(layer, nn.Module):
                handles.append(
                    layer.register_forward_hook(found.take_classified)
                )
        for handle in handles:
            stack.callback(handle.remove)
        yield found
