"""Score maps that wait for the threshold of a whole set.

Component measures need the best pixel threshold of the set, which is known
after its last image; until then the maps lie on disk, not in memory.
"""

from __future__ import annotations

import os.path as osp
import tempfile
from collections.abc import Mapping

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.logging import MMLogger

from mmood.metrics import (
    BinnedFrame,
    FrameComponents,
    best_f1_threshold,
    bin_frame,
    check_component_protocol,
    frame_components,
    pool_components,
)
from mmood.ops import atomic_write

PERCENT = (25, 50, 75)  # overlaps of the benchmark's tables
COUNTS = ('TP', 'FN', 'FP')
SHARES = ('sIoU', 'PPV', 'F1*', 'sIoU_pred', *(f'F1@{t}' for t in PERCENT))


class ComponentStore:
    """Maps of one rank's images, in a folder or in one that goes away.

    Args:
        folder: keep the maps here as ``SET/IMAGE.npy`` (float32); None: in a
            temporary folder.
        min_prediction_size, min_object_size: pixels, see
            `mmood.metrics.frame_components`.
        protocol: ``'definition'``: pixels are predicted OOD from the given
            threshold on. ``'smiyc'``: above the evaluator's own one
            (`mmood.metrics.best_f1_threshold`), and
            `mmood.metrics.pool_components` by that name.
    """

    def __init__(
        self,
        folder: str | None = None,
        min_prediction_size: int = 500,
        min_object_size: int = 100,
        protocol: str = 'definition',
    ) -> None:
        check_component_protocol(protocol)
        self.protocol = protocol
        self._sizes = (min_prediction_size, min_object_size)
        self._temporary = None
        if not folder:
            self._temporary = tempfile.TemporaryDirectory()
            folder = self._temporary.name
        self._folder = folder
        self._files: list[tuple[str, str, np.ndarray]] = []

    def add(
        self, origin: str, name: str, score: np.ndarray, label: np.ndarray
    ) -> None:
        """Keep the map and the label (H, W) of an image of a set.

        Raises ValueError if a map of this name is kept for the user already.
        """
        stem = osp.splitext(osp.basename(name))[0]
        if self._temporary:  # images of other folders may be called the same
            stem = f'{len(self._files)}_{stem}'
        path = osp.join(self._folder, origin, f'{stem}.npy')
        if any(path == kept for _, kept, _ in self._files):
            raise ValueError(
                f'{name}: the map of another image is {path} already; set '
                'save_maps=False, or give the images of a set different names'
            )
        with atomic_write(path, 'wb') as file:
            np.save(file, score)
        self._files.append((origin, path, label.astype(np.uint8)))

    def measure(
        self, thresholds: Mapping[str, float]
    ) -> dict[str, dict[str, float]]:
        """Measures of each set with a threshold, over all ranks.

        Those of `mmood.metrics.pool_components`, of its eleven overlaps the
        three of `PERCENT`. All nan where the threshold is. A collective call.
        """
        exceeds: np.ufunc = np.greater_equal
        if self.protocol == 'smiyc':
            exceeds, thresholds = np.greater, self._edges(thresholds)
        frames: dict[str, list] = {origin: [] for origin in thresholds}
        for origin, path, label in self._wanted(thresholds):
            prediction = exceeds(np.load(path), thresholds[origin])
            found = frame_components(prediction, label, *self._sizes)
            frames[origin].append(found)
        return {
            origin: _tabled(found, self.protocol)
            for origin, found in _gathered(frames).items()
        }

    def _edges(self, thresholds: Mapping[str, float]) -> dict[str, float]:
        """The evaluator's thresholds, nan where ours are."""
        frames: dict[str, list] = {origin: [] for origin in thresholds}
        for origin, path, label in self._wanted(thresholds):
            frames[origin].append(_binned(path, label))
        return {
            origin: float('nan') if None in found else best_f1_threshold(found)
            for origin, found in _gathered(frames).items()
        }

    def _wanted(self, thresholds: Mapping[str, float]) -> list[tuple]:
        """The files of sets with a threshold."""
        return [
            file
            for file in self._files
            if not np.isnan(thresholds.get(file[0], np.nan))
        ]


def _tabled(frames: list[FrameComponents], protocol: str) -> dict[str, float]:
    """What a table says of a set; of none of its frames that nan."""
    counts = [f'{name}@{t}' for t in PERCENT for name in COUNTS]
    pooled = pool_components(frames, protocol)
    if not frames:
        pooled = dict.fromkeys(pooled, float('nan'))
    return {name: pooled[name] for name in (*SHARES, *counts)}


def _binned(path: str, label: np.ndarray) -> BinnedFrame | None:
    """Pixels of a map that are not ignored; None, and why, for inf."""
    score, valid = np.load(path), label != 255
    try:
        return bin_frame(score[valid], label[valid] == 1)
    except ValueError as error:
        MMLogger.get_current_instance().warning(
            f'sIoU, PPV and F1* are nan: in {path} {error}'
        )
        return None


def _gathered(parts: Mapping[str, list]) -> dict[str, list]:
    """The lists of all ranks, by set. A collective call."""
    pooled: dict[str, list] = {}
    for part in all_gather_object(dict(parts)):
        for origin, found in part.items():
            pooled.setdefault(origin, []).extend(found)
    return pooled
