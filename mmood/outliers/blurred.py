"""DFDD's outliers: the known objects on blurred maps.

Shapes: N known rows, (c, h, w) pooled maps.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmood.diffusion import build_diffusion
from mmood.losses import Batch
from mmood.registry import MODELS
from mmood.scores import Samples

from .source import OutlierSource


@MODELS.register_module()
class BlurredOutliers(OutlierSource):
    """What the head sees at the known objects' places on ``blurred`` maps.

    A neck such as `mmood.DFDDNeck` makes these maps. Source: DFDD (ICCV
    2023), Sec. 4.1; the arguments' defaults are the paper's way.

    Args:
        after_pooling: config of a process, see `build_diffusion`. Then the
            head sees, instead, its own pooled maps (N, c, h, w) of the known
            objects after this process. They have passed what the known ones
            pass, Psi too, and the strength is in cells of the pooled map,
            the same part of an object of any size.
        detach: whether the outliers come without gradients into the maps:
            only the box head learns from them then.
        start: see `OutlierSource`.
    """

    reads: tuple[str, ...] = ('look',)
    maps: tuple[str, ...] = ('blurred',)

    def __init__(
        self,
        *,
        after_pooling: dict | None = None,
        detach: bool = False,
        **start: Any,
    ) -> None:
        super().__init__(**start)
        self.detach = detach
        self.diffusion: Any = None
        if after_pooling is not None:
            self.diffusion = build_diffusion(after_pooling)
            self.maps, self.reads = (), ('inputs',)

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        """The N known rows, blurred; None if there is none.

        Raises ValueError if ``after_pooling`` is set and the head of the
        batch pools no maps.
        """
        if not self.is_active(batch):
            return None, {}
        if self.diffusion is None:
            made = batch.look('blurred', self.detach)
        else:
            made = self._blurred(batch.known)
        return (made if len(made) else None), {}

    def _blurred(self, known: Samples) -> Samples:
        if known.inputs is None or known.view is None:
            raise ValueError(
                'after_pooling of BlurredOutliers needs the pooled maps of a '
                'RoI head, and this head has none: set it to None'
            )
        inputs = known.inputs.detach() if self.detach else known.inputs
        return known.view(self.diffusion.degrade(inputs))
