"""What a test leaves in its folder of pixels, beside the measures.

Shapes: H x W pixels, B bins of a histogram, K classes of the model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from mmood.metrics import ScoreHistogram
from mmood.ops import write_arrays, write_json

from .cases import CaseKeeper
from .pixel_counts import PixelCounts

_STEPS = 2000  # quantiles of either side that stay apart
_CLASS_BINS = 2**10


class PixelDetails:
    """Counts by predicted class, and the images that stand out.

    ``add`` each image, ``gather`` on every rank, ``write`` on one.
    """

    def __init__(self) -> None:
        self._counts = PixelCounts(_CLASS_BINS, block=2**14)
        self._cases = CaseKeeper()
        self._classes: dict[tuple, ScoreHistogram] = {}
        self._kept: list[dict] = []

    def add(self, record: Mapping) -> None:
        """Take an image: ``name``, ``origin``, ``label`` (H, W), ``maps``.

        ``classes`` (H, W), what was predicted, may be None, and is left out
        if it has another size than the label.
        """
        label, classes = record['label'], record['classes']
        if classes is not None and classes.shape != label.shape:
            classes = None
        valid = label != 255
        is_ood = valid & (label == 1) & (record['origin'] != 'id')
        pixels = _by_class(classes, valid)
        for score, values in record['maps'].items():
            if np.isnan(values[valid]).any():
                continue
            place = (record['origin'], score)
            self._cases.add(place, record, is_ood, valid & ~is_ood, classes)
            for number, own in pixels.items():
                name = f'{record["name"]}: the {score} map'
                self._counts.add(
                    (*place, number), values[own], is_ood[own], name
                )

    def gather(self) -> None:
        """Put the ranks' parts together. A collective call."""
        self._classes = self._counts.gather()
        self._kept = self._cases.gather()

    def write(
        self, out_dir: str, sets: Mapping[tuple, ScoreHistogram], **settings
    ) -> None:
        """Write ``details.json``, ``pixels.npz`` and ``cases.npz``.

        ``sets``: the histogram of each (set, score). The second file has
        ``SET/SCORE/edges``, ``.../id`` and ``.../ood``, see `thinned`, and
        the same of each predicted class as ``SET/SCORE/CLASS/...``; the
        third ``N/map`` and ``N/label`` of the N-th case of ``details.json``.
        """
        arrays: dict[str, np.ndarray] = {}
        for place, histogram in {**sets, **self._classes}.items():
            start = '/'.join(map(str, place))
            names = ('edges', 'id', 'ood')
            tpr = settings['tpr']
            for name, values in zip(names, thinned(histogram, tpr)):
                arrays[f'{start}/{name}'] = values
        write_arrays(os.path.join(out_dir, 'pixels.npz'), arrays)
        pictures = {
            f'{number}/{name}': case.pop(name)
            for number, case in enumerate(self._kept)
            for name in ('map', 'label')
        }
        write_arrays(os.path.join(out_dir, 'cases.npz'), pictures)
        content = dict(
            task='segmentation',
            sets=list(dict.fromkeys(origin for origin, _ in sets)),
            scores=list(dict.fromkeys(score for _, score in sets)),
            cases=self._kept,
            **settings,
        )
        write_json(os.path.join(out_dir, 'details.json'), content)


def _by_class(
    classes: np.ndarray | None, valid: np.ndarray
) -> dict[int, np.ndarray]:
    """Masks (H, W) of the pixels that count, by class; none without."""
    if classes is None:
        return {}
    numbers = np.flatnonzero(np.bincount(classes[valid]))
    return {int(number): valid & (classes == number) for number in numbers}


def thinned(
    histogram: ScoreHistogram, tpr: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper edges, ascending, and counts of ID and of OOD pixels, each (b,).

    Bins are put together so that what lies above an edge is exact, and the
    edges are those next to 2000 quantiles of either side, ``tpr`` among
    them.
    """
    edges, known, unknown = histogram.tallies()
    if not edges.size:
        return edges, known, unknown
    levels = np.unique(np.r_[np.linspace(0, 1, _STEPS + 1), tpr])
    ends = [np.array([edges.size - 1])]
    for side in (known, unknown):
        below = side.cumsum()
        if below[-1]:
            wanted = np.ceil(levels * below[-1] - 1e-9)
            ends.append(np.searchsorted(below, np.maximum(wanted, 1)))
    last = np.unique(np.concatenate(ends))
    starts = np.r_[0, last[:-1] + 1]
    return (
        edges[last],
        np.add.reduceat(known, starts),
        np.add.reduceat(unknown, starts),
    )
