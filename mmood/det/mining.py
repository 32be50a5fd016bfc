"""The unknown boxes of a detector, as shards for `mmood.mining`.

Shapes: n boxes of an image or a shard, C feature channels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.ops import nms
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmood.mining import Shard

from .apis import OODDetInferencer
from .evaluation.kept_boxes import counting_boxes

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


@dataclass(frozen=True)
class Choice:
    """Which boxes are unknown objects, and how they are cut out.

    Args:
        score: name of the OOD score; None: the first one.
        threshold: what has a higher score is unknown; None: the checkpoint's.
        by_rank: all boxes may be unknown, the highest scores are.
        confidence: from which a box counts; None: the checkpoint's, or 0.3.
        iou: of two boxes that overlap more, whatever their classes, the more
            confident one is kept.
        min_size: least pixels of a box's width and of its height.
        margin: around the box in its crop, in parts of its longer side.
        crop_size: most pixels of a crop's longer side.
    """

    score: str | None = None
    threshold: float | None = None
    by_rank: bool = False
    confidence: float | None = None
    iou: float = 0.5
    min_size: float = 1.0
    margin: float = 0.1
    crop_size: int = 192

    def __post_init__(self) -> None:
        for name, low, high in (
            ('iou', 0, 1),
            ('min_size', 1, math.inf),
            ('margin', 0, 10),
            ('crop_size', 1, 10_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(
                    f'{name} must be from {low} to {high}, got {value}'
                )


class UnknownFinder:
    """Finds the unknown boxes of pictures with a detector of any family.

    Raises ValueError, with the remedy, where nothing says what is unknown.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        choice: Choice,
        device: str | None = None,
    ) -> None:
        self.choice = choice
        limit = math.inf if choice.by_rank else choice.threshold
        with warnings.catch_warnings():
            # Said below, as an error.
            warnings.filterwarnings('ignore', '.*will be called OOD')
            self._inferencer = OODDetInferencer(
                config, checkpoint, device=device, show_progress=False
            )
        part = self._inferencer.part
        self.score = choice.score or part.scores.first
        if self.score not in part.scores.names:
            raise ValueError(
                f'score must be one of {sorted(part.scores.names)}, got '
                f'{self.score!r}'
            )
        stored = float(part.scores.thresholds[self.score])
        self.threshold = stored if limit is None else limit
        if math.isnan(self.threshold):
            raise ValueError(
                f'the checkpoint {checkpoint} has no threshold of the score '
                f'{self.score!r}, so nothing says which box is unknown: run '
                'tools/fit_scores.py with this config, give a threshold, or '
                'ask for the highest scores with --top'
            )
        confidence = choice.confidence
        if confidence is None:
            stored = float(part.score_threshold)
            confidence = 0.3 if math.isnan(stored) else stored
        self.confidence = confidence
        part.keeps_features = True
        part.wanted = part.scores.needed_for(self.score)

    @property
    def classes(self) -> list[str]:
        return list(self._inferencer.model.dataset_meta['classes'])

    def find(
        self,
        paths: Sequence[str | Path],
        first: int,
        least: float = -math.inf,
        tick: Callable[[int], object] = int,
        batch_size: int = 1,
    ) -> Shard:
        """What is found in consecutive pictures.

        ``first`` is the place of the first one in the list of all. Boxes
        with a score below ``least`` are left out; ``tick`` hears how many
        pictures are done. A picture that cannot be read has no boxes, and
        the size 0.
        """
        found, crops, sizes = [], [], np.zeros((len(paths), 2), np.int64)
        for places, pictures in self._batches(paths, batch_size):
            for place, picture in zip(places, pictures):
                sizes[place] = picture.shape[1::-1]
            samples = self._inferencer(
                list(pictures),
                batch_size=len(pictures),
                return_datasamples=True,
                no_save_vis=True,
                pred_score_thr=self.confidence,
                score=self.score,
                ood_threshold=self.threshold,
            )['predictions']
            for place, picture, sample in zip(places, pictures, samples):
                boxes = self._unknown(sample.pred_instances, picture, least)
                found.append((first + place, boxes))
                crops += [
                    self._crop(picture, box) for box in boxes.bboxes.numpy()
                ]
            tick(len(pictures))
        return _as_shard(found, crops, sizes)

    def _batches(
        self, paths: Sequence[str | Path], size: int
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """Places and pictures, the next ones read ahead; broken left out."""
        starts = range(0, len(paths), size)
        with ThreadPoolExecutor(max(2, min(size, 4))) as pool:

            def ask(start: int) -> list:
                batch = paths[start : start + size]
                return [pool.submit(self._read, path) for path in batch]

            ahead = ask(0) if starts else []
            for start in starts:
                asked = ahead
                if start + size < len(paths):
                    ahead = ask(start + size)
                read = [one.result() for one in asked]
                there = [i for i, one in enumerate(read) if one is not None]
                if there:
                    yield [start + i for i in there], [read[i] for i in there]

    def _read(self, path: str | Path) -> np.ndarray | None:
        try:
            return self._inferencer._load.picture(str(path))
        except (OSError, ValueError) as error:
            warnings.warn(f'left out: {error}', stacklevel=2)
            return None

    def _unknown(
        self, boxes: InstanceData, picture: np.ndarray, least: float
    ) -> InstanceData:
        """The boxes that are kept, clipped to the picture."""
        boxes = boxes.cpu()
        boxes.bboxes = getattr(boxes.bboxes, 'tensor', boxes.bboxes)
        scores = boxes.ood_scores
        boxes.ood_scores = scores.clamp(-3e38, 3e38)
        kept = boxes.is_ood if not self.choice.by_rank else ~scores.isnan()
        kept = kept & boxes.bboxes.isfinite().all(1)
        kept &= counting_boxes(
            boxes.scores,
            boxes.max_class_scores,
            self.confidence,
            self._inferencer._protocol,
        )
        height, width = picture.shape[:2]
        limits = torch.tensor([width, height, width, height])
        boxes.bboxes = boxes.bboxes.clamp(min=0).minimum(limits)
        sides = boxes.bboxes[:, 2:] - boxes.bboxes[:, :2]
        boxes = boxes[kept & (sides >= self.choice.min_size).all(1)]
        if not len(boxes):
            return boxes
        _, best = nms(boxes.bboxes, boxes.scores, self.choice.iou)
        boxes = boxes[best]
        return boxes[boxes.ood_scores >= least]

    def _crop(self, picture: np.ndarray, box: np.ndarray) -> bytes:
        """A JPEG of the box with its margin, a pixel at least."""
        margin = self.choice.margin * (box[2:] - box[:2]).max()
        size = np.array(picture.shape[1::-1])
        low = np.clip(np.floor(box[:2] - margin), 0, size - 1).astype(int)
        high = np.ceil(box[2:] + margin).astype(int)
        high = np.clip(high, low + 1, size)
        crop = picture[low[1] : high[1], low[0] : high[0]]
        share = self.choice.crop_size / max(crop.shape[:2])
        if share < 1:
            sides = (high - low) * share
            sides = np.maximum(sides.round().astype(int), 1).tolist()
            crop = cv2.resize(crop, sides, interpolation=cv2.INTER_AREA)
        _, content = cv2.imencode('.jpg', crop, _QUALITY)
        return content.tobytes()


def _as_shard(
    found: Sequence[tuple[int, InstanceData]],
    crops: Sequence[bytes],
    sizes: np.ndarray,
) -> Shard:
    def joined(name: str, kind: type, *shape: int) -> np.ndarray:
        parts = [boxes.get(name).numpy() for _, boxes in found if len(boxes)]
        return np.concatenate([np.zeros((0, *shape)), *parts]).astype(kind)

    width = max((b.features.shape[1] for _, b in found if len(b)), default=0)
    counts = [len(boxes) for _, boxes in found]
    return Shard(
        image=np.repeat([place for place, _ in found], counts).astype(int),
        boxes=joined('bboxes', np.float32, 4),
        confidence=joined('scores', np.float32),
        ood_score=joined('ood_scores', np.float32),
        label=joined('labels', np.int64),
        features=joined('features', np.float16, width),
        crop_sizes=np.array([len(crop) for crop in crops], np.int64),
        crops=np.frombuffer(b''.join(crops), np.uint8),
        sizes=sizes,
    )
