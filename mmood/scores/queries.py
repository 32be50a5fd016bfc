"""What a mask-classification segmentor says of its queries.

Shapes: B images, N queries, K known classes, h x w cells of the head's
masks, H x W pixels of the image that the network sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from mmood.ops import raised

# Pixels of masks that are made at once.
_CHUNK = dict(cpu=2**22, cuda=2**26)


@dataclass
class MaskQueries:
    """Classes and masks of N queries, as a Mask2Former's head gives them.

    class_logits: (B, N, K + 1), the last one of "no object".
    mask_logits: (B, N, h, w).
    size: (H, W), to which masks are resized, as the head does it.
    """

    class_logits: Tensor
    mask_logits: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.class_logits)

    def __getitem__(self, index: Tensor | slice) -> MaskQueries:
        """Those of some of the images."""
        parts = self.class_logits[index], self.mask_logits[index]
        return MaskQueries(*parts, self.size)

    @property
    def probabilities(self) -> Tensor:
        """Softmax over the K + 1 classes, (B, N, K + 1), float32 at least."""
        return raised(self.class_logits).softmax(-1)

    def masks(
        self, image: int, queries: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Mask probabilities (n, H, W) of some queries of an image.

        Some ``queries`` (numbers) at a time, which come first: those of 100
        at 1024 x 2048 pixels would take 800 MB. Logits are resized, then the
        sigmoid is taken, as in mmseg's prediction.
        """
        height, width = self.size
        pixels = _CHUNK.get(self.mask_logits.device.type, 2**26)
        step = max(1, pixels // (height * width))
        for chosen in queries.split(step) if len(queries) else ():
            logits = raised(self.mask_logits[image, chosen])[None]
            shown = F.interpolate(
                logits, self.size, mode='bilinear', align_corners=False
            )
            yield chosen, shown[0].sigmoid_()
