"""What parts of a segmentor or of a decode head ask of what stands behind.

For readers and type checkers alone: at run time these classes are empty, and
a call of ``super`` reaches the next part, or MMSegmentation's class.

Shapes: B images of H x W pixels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from mmengine.config import ConfigDict
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmood.losses.batch import LossDict
from mmood.scores import ScoreSet


class Segmentor(nn.Module):
    """An `EncoderDecoder`, and the parts of an `OODEncoderDecoder`."""

    backbone: nn.Module
    decode_head: BaseDecodeHead
    align_corners: bool
    num_classes: int
    out_channels: int
    test_cfg: ConfigDict
    data_preprocessor: nn.Module
    dataset_meta: dict
    scores: ScoreSet
    losses: LossDict
    pixel_losses: LossDict

    if TYPE_CHECKING:

        def loss(
            self, inputs: Tensor, data_samples: list | None = None
        ) -> dict[str, Tensor]: ...

        def extract_feat(self, inputs: Tensor) -> list[Tensor]: ...

        def _forward(self, inputs: Tensor) -> Tensor: ...

        def check_weights(self) -> None: ...

        def extracting_once(
            self, active: bool = True
        ) -> AbstractContextManager[None]: ...


class DecodeHead(nn.Module):
    """A `BaseDecodeHead`."""

    num_classes: int
    out_channels: int
    ignore_index: int
    norm_cfg: dict | None

    if TYPE_CHECKING:

        def loss(
            self,
            inputs: tuple[Tensor],
            batch_data_samples: list,
            train_cfg: dict,
        ) -> dict[str, Tensor]: ...
