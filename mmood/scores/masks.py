"""OOD scores of mask-classification segmentors, such as Mask2Former.

Shapes: B images, N queries, K known classes, H x W pixels. With class
probabilities p (N, K + 1), whose last one is "no object", and masks m (N, H,
W) after the sigmoid, the class maps are ``L_k = sum_n p_nk m_n`` (B, K, H,
W): sums over masks, from 0. Higher is more OOD.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .logits import check_logits, max_logit
from .queries import MaskQueries
from .samples import Samples, register_score


def rba(logits: Tensor, dim: int = 1) -> Tensor:
    """``-sum_k tanh(L_k)``, (B, K, *) -> (B, *), in [-K, 0].

    No class of all K claims the pixel. Source: Nayal et al., "RbA:
    Segmenting Unknown Regions Rejected by All", ICCV 2023. Raises
    ValueError for K = 0.
    """
    return -check_logits(logits, dim).tanh().sum(dim)


def mask_anomaly(logits: Tensor, dim: int = 1) -> Tensor:
    """``1 - max_k L_k``, (B, K, *) -> (B, *), at most 1.

    Below 0 where masks of one class overlap. Source: Rai et al., "Unmasking
    Anomalies in Road-Scene Segmentation", ICCV 2023. Raises
    ValueError for K = 0.
    """
    return 1 + max_logit(logits, dim)


def ensemble_of_masks(queries: MaskQueries) -> Tensor:
    """``-sum_n m_n max_k p_nk`` over the K classes, (B, H, W), in [-N, 0].

    The anomaly scores of all masks, each ``-max_k p_nk``, where the mask is.
    Source: Grcic et al., "On Advantages of Mask-level Recognition for
    Outlier-aware Segmentation", CVPR Workshops 2023. Raises
    ValueError for K = 0.
    """
    known = queries.probabilities[..., :-1]
    surest = check_logits(known, -1).amax(-1)  # (B, N)
    found = surest.new_zeros(len(queries), *queries.size)
    numbers = torch.arange(surest.shape[1], device=surest.device)
    for image, total in enumerate(found):
        for chosen, masks in queries.masks(image, numbers):
            with torch.autocast(masks.device.type, enabled=False):
                weights = surest[image, chosen]
                total -= torch.einsum('n,nhw->hw', weights, masks)
    return found


@register_score('rba', kinds=('mask',))
def _rba(samples: Samples) -> Tensor:
    return rba(samples.logits)


@register_score('eam', reads=('queries',), kinds=('mask',))
def _eam(samples: Samples) -> Tensor:
    return ensemble_of_masks(samples.queries)


@register_score('mask2anomaly', kinds=('mask',))
class Mask2Anomaly:
    """`mask_anomaly`; with ``flip`` the mean with that of the flipped image.

    The image is flipped from left to right and goes through the whole
    segmentor a second time, as in the authors' evaluation. Their refinement,
    which clears what masks of road scenes' "stuff" cover, is not part of it.
    """

    def __init__(self, flip: bool = True) -> None:
        self.reads = ('logits', 'inputs') if flip else ('logits',)

    def __call__(self, samples: Samples) -> Tensor:
        found = mask_anomaly(samples.logits)
        if 'inputs' not in self.reads:
            return found
        flipped = samples.view(samples.inputs.flip(-1)).logits
        return (found + mask_anomaly(flipped).flip(-1)) / 2
