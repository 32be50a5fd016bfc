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

from mmood.metrics import frame_components, pool_components
from mmood.ops import atomic_write


class ComponentStore:
    """Maps of one rank's images, in a folder or in one that goes away.

    Args:
        folder: keep the maps here as ``SET/IMAGE.npy`` (float32); None: in a
            temporary folder.
        min_prediction_size, min_object_size: pixels, see
            `mmood.metrics.frame_components`.
    """

    def __init__(
        self,
        folder: str | None = None,
        min_prediction_size: int = 500,
        min_object_size: int = 100,
    ) -> None:
        self._sizes = (min_prediction_size, min_object_size)
        self._temporary = None if folder else tempfile.TemporaryDirectory()
        self._folder = folder or self._temporary.name
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
        """sIoU, PPV and F1* of each set with a threshold, over all ranks.

        A pixel is predicted OOD from the threshold on. A collective call.
        """
        frames: dict[str, list] = {origin: [] for origin in thresholds}
        for origin, path, label in self._files:
            if origin in frames:
                prediction = np.load(path) >= thresholds[origin]
                found = frame_components(prediction, label, *self._sizes)
                frames[origin].append(found)
        pooled: dict[str, list] = {}
        for part in all_gather_object(frames):
            for origin, found in part.items():
                pooled.setdefault(origin, []).extend(found)
        return {
            origin: {
                key: value
                for key, value in pool_components(found).items()
                if key in ('sIoU', 'PPV', 'F1*')
            }
            for origin, found in pooled.items()
        }
