"""Feature maps that bring further maps and losses along.

Shapes: L levels of (B, C, H_l, W_l).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from torch import Tensor


class Pyramid(tuple):
    """The levels for the heads, ``maps`` and ``losses`` by name beside them.

    An attribute of a tuple passes through the stock detectors untouched. A
    head takes the losses by `collect_losses`; a backward pass through the
    levels raises RuntimeError if none did.
    """

    maps: dict[str, tuple[Tensor, ...]]
    losses: dict[str, Tensor]
    pending: set[str]  # names of losses that no head has taken

    def __new__(
        cls,
        levels: Iterable[Tensor],
        maps: Mapping[str, Sequence[Tensor]] | None = None,
        losses: Mapping[str, Tensor] | None = None,
    ) -> Pyramid:
        self = super().__new__(cls, levels)
        self.maps = {name: tuple(m) for name, m in (maps or {}).items()}
        self.losses = dict(losses or {})
        self.pending = set(self.losses)
        # A hook that held the levels would keep them for ever.
        check = partial(_check_taken, self.pending)
        for x in self if self.losses else ():  # also behind a frozen neck
            x.requires_grad_().register_hook(check)
        return self


def _check_taken(pending: set[str], grad: Tensor) -> None:
    if pending:
        raise RuntimeError(
            f'no head of this model takes {", ".join(sorted(pending))} of '
            'its neck: set roi_head.type to mmood.OODRoIHead, put this neck '
            'last, or set deblur=False in mmood.DFDDNeck'
        )


def collect_losses(x: Sequence[Tensor]) -> dict[str, Tensor]:
    """The losses that came with a neck's maps; a head adds them to its own.

    {} for a plain tuple of maps.
    """
    if not isinstance(x, Pyramid):
        return {}
    x.pending.clear()
    return dict(x.losses)
