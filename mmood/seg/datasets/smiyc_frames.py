"""The frames of SegmentMeIfYouCan's tracks, with and without labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mmood.registry import DATASETS

from .ood_seg import OriginSegDataset

# The first words of frames' names, which are those of places.
_PLACES = (
    *('curvy-street', 'one-way-street', 'gravel', 'greyasphalt'),
    *('motorway', 'paving', 'darkasphalt', 'darkasphalt2'),
)
_HARD = ('snowstorm1', 'snowstorm2', 'driveway')


class Split(NamedTuple):
    """Frames of a track."""

    suffix: str
    pattern: str  # of names, from their start
    number: int
    folder: str  # what the kit calls it where it keeps predictions


def _of_places(*places: str) -> str:
    return rf'({"|".join(map(re.escape, places))})(_|$)'


_ANOMALY, _OBSTACLE = 'AnomalyTrack-all', 'ObstacleTrack-all'
SPLITS = {
    _ANOMALY: Split('.jpg', '', 110, _ANOMALY),
    'AnomalyTrack-test': Split('.jpg', '(?!validation)', 100, _ANOMALY),
    'AnomalyTrack-validation': Split('.jpg', 'validation', 10, _ANOMALY),
    _OBSTACLE: Split(
        '.webp', _of_places(*_PLACES, *_HARD, 'validation'), 452, _OBSTACLE
    ),
    'ObstacleTrack-test': Split('.webp', _of_places(*_PLACES), 327, _OBSTACLE),
    'ObstacleTrack-validation': Split(
        '.webp', 'validation_(?!19|2[1-9])', 30, _OBSTACLE
    ),
}


@DATASETS.register_module()
class SMIYCFramesDataset(OriginSegDataset):
    """Images of a track, for a submission: no label is looked for.

    Layout: ``images/NAME.jpg`` of AnomalyTrack, ``images/NAME.webp`` of
    ObstacleTrack. Splits are those of the benchmark's public kit; ``-test``
    of ObstacleTrack leaves out snowstorm and night. ``origin`` is the split
    that the kit keeps predictions under, ``...-all`` of either track.

    Args:
        split: one of `SPLITS`.
        skipped: names of frames that are left out, without suffix.

    Raises ValueError for another split, and as the parent does.
    """

    own_classes = True  # not those of the segmentor
    files = (('img_path', 'image files'),)

    def __init__(
        self,
        *args,
        split: str,
        skipped: Sequence[str] = (),
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        self.split, self.skipped = check_split(split), set(skipped)
        self.origin = self.split.folder
        prefix = data_prefix or dict(img_path='images')
        kwargs.setdefault('img_suffix', self.split.suffix)
        super().__init__(
            *args, data_prefix=prefix, reduce_zero_label=False, **kwargs
        )

    def find_files(self) -> list[dict]:
        return [
            self.pair(path, None)
            for name, path in self.named_images().items()
            if re.match(self.split.pattern, name)
            and '/' not in name
            and name not in self.skipped
        ]


def check_split(name: str) -> Split:
    """Raises ValueError for what is none of `SPLITS`."""
    if name not in SPLITS:
        raise ValueError(f'split must be one of {list(SPLITS)}, got {name!r}')
    return SPLITS[name]
