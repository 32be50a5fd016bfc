"""In what the protocols of the field differ."""

from __future__ import annotations

from typing import NamedTuple


class Protocol(NamedTuple):
    """How a protocol reads a ranking.

    ``point``: which point of the ROC curve FPR is read at
    (`mmood.metrics.roc.point_at_tpr`). ``id_positive``: ID is the positive
    side. ``trapezoids``: AUPR is the area under straight lines between the
    points of the PR curve, not the sum of steps.
    """

    point: str
    id_positive: bool = False
    trapezoids: bool = False


PROTOCOLS = {
    'vos': Protocol('nearest', id_positive=True),
    'dood': Protocol('nearest_on_corners'),
    'fishyscapes': Protocol('at_least'),
    'openood': Protocol('at_least_on_corners', trapezoids=True),
    'pytorch_ood': Protocol('at_least', trapezoids=True),
    'smiyc': Protocol('at_least'),
    'rba': Protocol('above'),
    'dreambox': Protocol('quantile', id_positive=True),
    'quantile': Protocol('quantile', id_positive=True),
}


def protocol_rule(protocol: str) -> Protocol:
    """The `Protocol` of that name; ValueError if unknown."""
    if protocol not in PROTOCOLS:
        raise ValueError(
            f'unknown protocol {protocol!r}; known are {sorted(PROTOCOLS)}'
        )
    return PROTOCOLS[protocol]
