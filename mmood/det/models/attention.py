"""OW-DETR's pseudo labels: unknown objects by what the backbone looks at.

Shapes: B images of (H, W), n queries of one, C channels of a map (h, w).
Source: Gupta et al., "OW-DETR: Open-world Detection Transformer", CVPR 2022,
Sec. 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.detectors import DeformableDETR
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmood.necks.pyramid import Pyramid
from mmood.ops import Activity
from mmood.registry import MODELS

from .roi_tools import record_calls


@torch.no_grad()
def attention_of(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over the channels, resized: (B, C, h, w) -> (B, H, W).

    Bilinear, in float32 at least. Not of absolute values: a ResNet's maps lie
    behind a ReLU and have no others, and the public code takes the mean too.
    """
    mean = features.float().mean(1, keepdim=True)
    resized = F.interpolate(mean, size, mode='bilinear', align_corners=False)
    return resized[:, 0]


@torch.no_grad()
def mean_in_boxes(attention: Tensor, boxes: Tensor) -> Tensor:
    """Mean of the pixels in each box, (H, W) and (n, 4) -> (n,).

    Corners are cut to whole pixels, the second ones excluded, and to the
    image; -inf for a box without a pixel. By one summed-area table, in
    float64.
    """
    table = attention.double().cumsum(0).cumsum(1)
    table = F.pad(table, (1, 0, 1, 0))
    height, width = attention.shape
    x = boxes[:, 0::2].long().clamp(0, width)
    y = boxes[:, 1::2].long().clamp(0, height)
    (left, right), (top, bottom) = x.unbind(1), y.unbind(1)
    sums = table[bottom, right] + table[top, left]
    sums = sums - table[top, right] - table[bottom, left]
    area = (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
    means = sums / area.clamp(min=1)
    return means.masked_fill(area == 0, -torch.inf).to(attention.dtype)


@MODELS.register_module()
class AttentionPseudoUnknown(nn.Module):
    """Which queries without an object are taken for unknown objects.

    Of each image, in each decoder layer, the ``num_pseudo`` in whose boxes
    the backbone's map has the largest mean (`mean_in_boxes`); fewer where
    there are not as many with a pixel. None before ``start_epoch``, counted
    from 0 in each training. Raises ValueError for numbers below 0.
    """

    def __init__(self, num_pseudo: int = 5, start_epoch: int = 0) -> None:
        super().__init__()
        for name, value in dict(
            num_pseudo=num_pseudo, start_epoch=start_epoch
        ).items():
            if value < 0:
                raise ValueError(f'{name} must be at least 0, got {value}')
        self.num_pseudo, self.start_epoch = num_pseudo, start_epoch
        self.activity = Activity(
            'the unknown objects of AttentionPseudoUnknown: train for more '
            f'epochs than start_epoch={start_epoch}'
        )

    @property
    def is_active(self) -> bool:
        """Whether the training has come to ``start_epoch``."""
        hub = MessageHub.get_current_instance()
        return hub.get_info('epoch', 0) >= self.start_epoch

    def forward(
        self, attention: Tensor, boxes: Tensor, is_free: Tensor
    ) -> Tensor:
        """(H, W), pixels (n, 4), (n,) bool -> (n,) bool; no waiting."""
        rates = mean_in_boxes(attention, boxes)
        rates = rates.masked_fill(~is_free, -torch.inf)
        best = rates.topk(min(self.num_pseudo, len(rates))).indices
        chosen = torch.zeros_like(is_free)
        chosen[best] = rates[best] > -torch.inf
        self.activity.add(chosen.sum())
        return chosen


@MODELS.register_module()
class AttentionDeformableDETR(DeformableDETR):
    """Deformable DETR that shows its head what the backbone looks at.

    In training the head's loss gets the `attention_of` the backbone's output
    ``attention_level``, for an `AttentionPseudoUnknown`. OW-DETR takes that
    of stride 16.
    """

    def __init__(self, *args, attention_level: int = 1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.attention_level = attention_level

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        if not self.training:
            return super().extract_feat(batch_inputs)
        with record_calls(self.backbone) as calls:
            levels = super().extract_feat(batch_inputs)
        features = calls[-1][1][self.attention_level]
        height, width = batch_inputs.shape[-2:]
        attention = attention_of(features, (height, width))
        return Pyramid(levels, dict(attention=[attention]))

    def forward_transformer(
        self, img_feats: tuple[Tensor, ...], *args, **kwargs
    ) -> dict:
        inputs = super().forward_transformer(img_feats, *args, **kwargs)
        if isinstance(img_feats, Pyramid):
            (inputs['attention'],) = img_feats.maps['attention']
        return inputs
