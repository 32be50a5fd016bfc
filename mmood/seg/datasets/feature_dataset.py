"""One config for both ways to train: from images, or from cached features.

Shapes: n vectors, C channels, h x w the map of an image.
"""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mmood.registry import DATASETS

from .feature_cache import FeatureCache


@DATASETS.register_module()
class FeatureDataset(Dataset):
    """The images of a set or, if there is a cache, their features.

    Args:
        dataset: config of the image set.
        cache: folder of ``tools/extract_features.py``; None: the images.
        vectors: features per item, drawn at random from all valid ones of
            the cache, so that a batch of B items holds B times as many.
        maps: give the whole map of an image instead, for a denoiser that
            needs maps.
        seed: of the drawing.
        ignore_index: label of features that are left out.

    Raises ValueError if the cache has no valid feature at all, and as
    `FeatureCache` does.
    """

    def __init__(
        self,
        dataset: dict,
        cache: str | None = None,
        *,
        vectors: int = 512,
        maps: bool = False,
        seed: int = 0,
        ignore_index: int = 255,
    ) -> None:
        self.dataset = DATASETS.build(dataset)
        self.cache = None if cache is None else FeatureCache(cache)
        self.per_item, self.maps, self.seed = vectors, maps, seed
        self._draws = 0
        if self.cache is not None and not maps:
            self._rows = np.flatnonzero(self.cache.labels != ignore_index)
            if not len(self._rows):
                raise ValueError(
                    f'all features of {cache} are ignored ({ignore_index}): '
                    'check the labels of the training set'
                )

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def full_init(self) -> None:
        self.dataset.full_init()

    def __len__(self) -> int:
        if self.cache is None:
            return len(self.dataset)
        if self.maps:
            return len(self.cache)
        return -(-len(self._rows) // self.per_item)

    def __getitem__(self, index: int) -> dict:
        if self.cache is None:
            return self.dataset[index]
        sample = SegDataSample()
        if self.maps:
            features, labels = self.cache.map(index)
            target = torch.from_numpy(labels.astype(np.int64))[None]
            sample.gt_sem_seg = PixelData(data=target)
        else:
            features = self.cache.vectors(self._draw(index))
        tensor = torch.from_numpy(np.array(features))
        return dict(features=tensor, data_samples=sample)

    def _draw(self, index: int) -> np.ndarray:
        """Ascending numbers of random valid rows."""
        if len(self._rows) <= self.per_item:
            return self._rows
        rng = np.random.default_rng((self.seed, index, self._draws))
        self._draws += 1
        return np.sort(rng.choice(self._rows, self.per_item))
