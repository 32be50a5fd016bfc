"""What decode heads give: logits of which kind, and queries with masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmseg.models.decode_heads import Mask2FormerHead, MaskFormerHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmood.scores import MaskQueries

_HEADS = MaskFormerHead, Mask2FormerHead


def kind_of(head: BaseDecodeHead) -> str:
    """Of the head's logits; one channel stands for a softmax over two."""
    if isinstance(head, _HEADS):
        return 'mask'
    flags = [getattr(loss, 'use_sigmoid', False) for loss in losses_of(head)]
    is_sigmoid = flags and all(flags) and head.out_channels > 1
    return 'sigmoid' if is_sigmoid else 'softmax'


def losses_of(head: nn.Module) -> list[nn.Module]:
    """The losses of a head, also of heads within it, as K-Net has."""
    return [part for part in head.modules() if hasattr(part, 'loss_name')]


def why_no_queries(head: nn.Module) -> str:
    """What to do to have some; empty for a head with queries."""
    if isinstance(head, _HEADS):
        return ''
    return (
        f'{type(head).__name__} judges each pixel by itself, without queries '
        'and their masks: take a Mask2FormerHead or a MaskFormerHead, or '
        "another score, such as 'energy'"
    )


@contextmanager
def record_queries(head: nn.Module) -> Iterator[list[MaskQueries]]:
    """The list that each forward pass of the head inside appends to.

    Class and mask predictions of its last layer, with the masks' own size
    as ``size``.
    """
    found: list[MaskQueries] = []

    def take(_: nn.Module, __: tuple, output: Sequence) -> None:
        classes, masks = (part[-1].detach() for part in output)
        found.append(MaskQueries(classes, masks, tuple(masks.shape[-2:])))

    handle = head.register_forward_hook(take)
    try:
        yield found
    finally:
        handle.remove()


def metas_of_window(metas: Sequence[Mapping], inputs: Tensor) -> list[dict]:
    """The metas with the size of what the network sees, (B, C, H, W).

    Heads of masks resize these to ``pad_shape``, which stays that of the
    whole image while mmseg slides.
    """
    size = tuple(inputs.shape[-2:])
    return [
        {**meta, 'pad_shape': size} if 'pad_shape' in meta else {**meta}
        for meta in metas
    ]
