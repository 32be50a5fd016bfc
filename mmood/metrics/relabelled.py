"""Open-set measures of a detector whose boxes an OOD score relabels.

Shapes: D detections on the images of all sets in a row, K known classes;
label K stands for unknown.
Source: Montoya et al., "FindMeIfYouCan: Bringing Open Set Metrics to Near,
Far and Farther Out-of-Distribution Object Detection", arXiv 2506.14008, 2025.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .detection import EmptySetWarning
from .image_detections import ImageDetections, check_labels
from .open_set import (
    absolute_open_set_error,
    mean_measures,
    normalized_open_set_error,
    wilderness_impact,
)
from .voc import (
    PooledBoxes,
    RankedMatches,
    best_overlap,
    check_style,
    pool_detections,
    pool_objects,
    true_and_false,
)

ID = 'id'


class RelabelledBoxes:
    """Boxes on ID and on OOD images, some of which a score calls unknown.

    Overlaps are computed once, at construction; each decision of a score
    then costs a ranking. A box that is called unknown keeps its confidence
    as its rank among the unknown ones, the others keep their class.

    Args:
        sets: images of each set by name, the ID set's under ``'id'``. Labels
            of objects are 0 to K - 1 or, where unknown, K: in an OOD set, all
            of them.
        num_known: K.
        iou: above which a box lies on an object.
        offset: 1 where x2 and y2 name the last pixel, as in VOC's
            development kit and the paper's code; 0: boxes are continuous.
        style: of average precision, `voc_average_precision`.

    Warns for a set without unknown objects. Raises ValueError for labels
    outside 0 ... K, and if there is no ID set.
    """

    def __init__(
        self,
        sets: Mapping[str, Sequence[ImageDetections]],
        num_known: int,
        *,
        iou: float = 0.5,
        offset: float = 1.0,
        style: str = 'area',
    ) -> None:
        check_style(style)
        if ID not in sets:
            raise ValueError(f'sets must hold {ID!r}, got {list(sets)}')
        images = [image for part in sets.values() for image in part]
        check_labels(images, num_known, unknown=True)
        self.num_known, self.style = num_known, style
        self.names = list(sets)
        of_image = np.repeat(np.arange(len(sets)), [*map(len, sets.values())])
        found, objects = pool_detections(images), pool_objects(images)
        # All in order of confidence: any part of them is a ranking.
        found = found.rows(np.lexsort((found.indices, -found.values)))
        unknown, objects = objects.of(num_known), self._by_class(objects)
        objects = objects.rows(np.argsort(objects.images, kind='stable'))
        best, self._unknown_object = best_overlap(found, unknown, offset)
        self._on_unknown = best > iou
        found_by_class = self._by_class(found)
        best, self._own_object = best_overlap(found_by_class, objects, offset)
        self._on_own = best > iou
        self._found, self._origin = found, of_image[found.images]
        self._difficult = objects.values.astype(bool)
        self._object_labels = objects.labels
        self._object_origin = of_image[objects.images // (num_known + 1)]
        self._unknown_difficult = unknown.values.astype(bool)
        self._unknown_origin = of_image[unknown.images]
        for number, name in enumerate(self.names):
            if name != ID and not self._number_of_unknown(number):
                warnings.warn(
                    f'no unknown object in {len(sets[name])} images of the '
                    f'set {name!r}: AP_U, P_U, R_U and nOSE are nan',
                    EmptySetWarning,
                    stacklevel=2,
                )

    def _by_class(self, boxes: PooledBoxes) -> PooledBoxes:
        """As if each image were K + 1 ones, each with boxes of one label."""
        images = boxes.images * (self.num_known + 1) + boxes.labels
        return replace(boxes, images=images)

    def __len__(self) -> int:
        return len(self._origin)

    def known_measures(self, is_unknown: np.ndarray) -> dict[str, float]:
        """AP_K, P_K and R_K of the boxes that keep their class, in %.

        On the ID images: means over the classes that have objects, precision
        and recall at the last rank; nan if no class has any. ``is_unknown``
        (D,) bool, by set and image in the order that they were given in.
        """
        matches = self._known([ID], self._decided(is_unknown))
        measures = mean_measures(matches, self.style)
        return dict(zip(('AP_K', 'P_K', 'R_K'), measures))

    def measures(self, name: str, is_unknown: np.ndarray) -> dict[str, float]:
        """AP_U, P_U, R_U, nOSE, AOSE and WI on an OOD set, AOSE a count.

        All but WI on the images of that set alone. WI, at recall 0.8 by
        `wilderness_impact`, is of the ID images and the set together, since
        recall of a known class needs its objects. The others in %, too;
        AP_U, P_U, R_U and nOSE are nan without unknown objects.
        ``is_unknown`` as in `known_measures`.
        """
        is_unknown = self._decided(is_unknown)
        unknown = self._unknown(name, is_unknown)
        known = self._known([name], is_unknown)
        names = ('AP_U', 'P_U', 'R_U')
        return dict(
            zip(names, mean_measures([unknown], self.style)),
            nOSE=normalized_open_set_error(known, unknown.num_objects),
            AOSE=absolute_open_set_error(known),
            WI=wilderness_impact(self._known([ID, name], is_unknown)),
        )

    def _decided(self, is_unknown: np.ndarray) -> np.ndarray:
        """The decision in the order of confidence."""
        is_unknown = np.asarray(is_unknown, dtype=bool)
        if is_unknown.shape != (len(self),):
            raise ValueError(
                f'is_unknown must have an entry for each of {len(self)} '
                f'boxes, got {is_unknown.shape}'
            )
        is_unknown = is_unknown[self._found.indices]
        return is_unknown | (self._found.labels == self.num_known)

    def _number_of_unknown(self, origin: int) -> int:
        of_set = self._unknown_origin == origin
        return int((of_set & ~self._unknown_difficult).sum())

    def _unknown(self, name: str, is_unknown: np.ndarray) -> RankedMatches:
        origin = self.names.index(name)
        rows = np.flatnonzero(is_unknown & (self._origin == origin))
        on_object = self._on_unknown[rows]
        which = self._unknown_object[rows]
        return RankedMatches(
            self._found.values[rows],
            *true_and_false(on_object, which, self._unknown_difficult),
            on_object,
            self._number_of_unknown(origin),
        )

    def _known(
        self, names: Sequence[str], is_unknown: np.ndarray
    ) -> list[RankedMatches]:
        """A ranking of each known class on the images of some sets."""
        origins = [self.names.index(name) for name in names]
        kept = np.flatnonzero(~is_unknown & np.isin(self._origin, origins))
        is_object = np.isin(self._object_origin, origins) & ~self._difficult
        matches = []
        for label in range(self.num_known):
            rows = kept[self._found.labels[kept] == label]
            matches.append(
                RankedMatches(
                    self._found.values[rows],
                    *true_and_false(
                        self._on_own[rows],
                        self._own_object[rows],
                        self._difficult,
                    ),
                    self._on_unknown[rows],
                    int((is_object & (self._object_labels == label)).sum()),
                )
            )
        return matches
