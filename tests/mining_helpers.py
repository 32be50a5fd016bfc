"""Shards of made-up boxes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmood.mining import Shard

WIDTH, HEIGHT = 64, 48


def make_shard(
    rng: np.random.Generator,
    count: int,
    images: Sequence[int],
    features: np.ndarray | None = None,
    crops: Sequence[bytes] | None = None,
) -> Shard:
    """``count`` boxes in these images, in the images' order."""
    corner = rng.integers(0, 30, (count, 2))
    boxes = np.concatenate(
        [corner, corner + rng.integers(4, 15, (count, 2))], 1
    )
    if features is None:
        features = rng.normal(size=(count, 8))
    if crops is None:
        crops = [b'crop %d' % i * (1 + i) for i in range(count)]
    return Shard(
        image=np.sort(rng.choice(np.asarray(images), count)),
        boxes=boxes.astype(np.float32),
        confidence=rng.uniform(0.3, 1, count).astype(np.float32),
        ood_score=rng.normal(size=count).astype(np.float32),
        label=rng.integers(0, 3, count),
        features=features.astype(np.float16),
        crop_sizes=np.array([len(crop) for crop in crops], np.int64),
        crops=np.frombuffer(b''.join(crops), np.uint8),
        sizes=np.tile([WIDTH, HEIGHT], (len(images), 1)),
    )


def jpeg(color: Sequence[int], size: tuple[int, int] = (12, 16)) -> bytes:
    """A crop (H, W) of one colour, BGR."""
    picture = np.full((*size, 3), color, np.uint8)
    return cv2.imencode('.jpg', picture)[1].tobytes()
