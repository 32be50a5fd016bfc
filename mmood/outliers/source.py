"""Where outliers come from while a model trains.

Shapes: N rows on known objects, C feature channels, M outliers.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from mmood.losses import Batch, OODLoss, build_part
from mmood.ops import Activity
from mmood.scores import Samples


class OutlierSource(nn.Module):
    """Base of the sources of outliers.

    A constructor may ask for ``num_classes`` (K) and ``channels`` (C).

    Args:
        start_share, start_iter: when outliers begin to count, as a share of
            the training, in [0, 1], or an iteration; from the first step on
            by default.

    ``activity`` counts the outliers of this rank. Raises ValueError for both
    starts, and for what is neither.
    """

    maps: tuple[str, ...] = ()  # of the neck, by name
    reads: tuple[str, ...] = ()  # of a `Batch`, beside rows and labels

    def __init__(
        self,
        *,
        start_share: float | None = None,
        start_iter: int | None = None,
    ) -> None:
        super().__init__()
        _check_start(start_share, start_iter)
        self.start_share, self.start_iter = start_share, start_iter
        self.activity = Activity(
            f'the outliers of {type(self).__name__}, as in a plain detector: '
            'train longer, start earlier (start_share or start_iter of '
            'outliers; its queue_size and patience), or flag objects as OOD'
        )

    def is_active(self, batch: Batch) -> bool:
        """Whether outliers count by now.

        Raises RuntimeError for a share where no training loop tells its
        length.
        """
        if self.start_iter is not None:
            return batch.iteration >= self.start_iter
        if not self.start_share:
            return True
        if batch.max_iters is None:
            raise RuntimeError(
                f'start_share={self.start_share} of the outliers is of the '
                'training, and no MMEngine training loop says how long it '
                'is: set start_iter'
            )
        return batch.iteration >= self.start_share * batch.max_iters

    def forward(
        self, batch: Batch
    ) -> tuple[Samples | None, dict[str, Tensor]]:
        """Outliers (M, .), and losses of what makes them by name.

        None while there are none: then known rows do not count either in
        the losses that tell them from outliers. An empty `Samples` lets the
        known ones count. A collective call, also with N = 0.
        """
        raise NotImplementedError


def build_source(
    config: dict | None, losses: Iterable[OODLoss], **sizes: int | None
) -> OutlierSource | None:
    """The source of a config with the sizes it asks for; None without one.

    Raises ValueError for what is no `OutlierSource`, for outliers that no
    loss needs, and the reverse.
    """
    needing = [type(loss).__name__ for loss in losses if loss.needs_outliers]
    if config is None and needing:
        raise ValueError(
            f'{" and ".join(needing)} needs outliers: set outliers to the '
            "config of their source, such as dict(type='mmood."
            "BlurredOutliers') for DFDD"
        )
    if config is None:
        return None
    source = build_part(config, **sizes)
    if not isinstance(source, OutlierSource):
        raise ValueError(
            f'outliers is a {type(source).__name__}, which is no mmood.'
            'OutlierSource'
        )
    if not needing:
        raise ValueError(
            f'outliers of {type(source).__name__} without a loss that needs '
            'them have no effect: add one to losses, such as '
            "dict(type='mmood.LogisticUncertaintyLoss') for VOS"
        )
    return source


def _check_start(share: float | None, iteration: int | None) -> None:
    if share is not None and iteration is not None:
        raise ValueError(
            'start_share and start_iter of outliers exclude each other, got '
            f'{share!r} and {iteration!r}: set one of them to None'
        )
    if share is not None and not 0 <= share <= 1:
        raise ValueError(
            f'start_share of outliers must be in [0, 1], got {share!r}: for '
            'an iteration set start_iter'
        )
    if iteration is not None and (
        not isinstance(iteration, int) or iteration < 0
    ):
        raise ValueError(
            'start_iter of outliers must be a whole number from 0 on, got '
            f'{iteration!r}: for a share of the training set start_share'
        )
