"""What the page shows of a test of boxes.

Shapes: D boxes that count and G objects of a set, T thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .counts import Tally, steps
from .runs import Run
from .sides import Side, summary


class Boxes:
    """The boxes of a set: arrays of ``boxes.npz`` and scores by name.

    ``best[score]`` (G,): the highest score of a box on the object, -inf for
    an object without one.
    """

    def __init__(
        self,
        name: str,
        arrays: Mapping[str, np.ndarray],
        scores: dict[str, np.ndarray],
        about: Mapping,
    ) -> None:
        self.boxes = arrays[f'{name}/boxes']
        self.image = arrays[f'{name}/image']
        self.label = arrays[f'{name}/label']
        self.confidence = arrays[f'{name}/confidence']
        self.objects = arrays[f'{name}/objects']
        self.object_image = arrays[f'{name}/object_image']
        self.object_label = arrays[f'{name}/object_label']
        self.hits = arrays[f'{name}/hits']
        self.name, self.scores = name, scores
        self.images, self.classes = about['images'], about['classes']
        self.is_hit = np.zeros(len(self.boxes), bool)
        self.is_hit[self.hits[:, 0]] = True
        self.is_seen = np.zeros(len(self.objects), bool)
        self.is_seen[self.hits[:, 1]] = True
        self.best = {k: self._best(v) for k, v in scores.items()}

    def _best(self, scores: np.ndarray) -> np.ndarray:
        best = np.full(len(self.objects), -np.inf)
        values = np.nan_to_num(scores[self.hits[:, 0]], nan=-np.inf)
        np.maximum.at(best, self.hits[:, 1], values)
        return best


def read_boxes(run: Run) -> dict[str, Boxes]:
    """Of each set of a test, by name."""
    scores = {}
    for score in run.details['scores']:
        with np.load(run.folder / f'ood_scores_{score}.npz') as file:
            scores[score] = dict(file)
    with np.load(run.folder / 'boxes.npz') as file:
        arrays = dict(file)
    return {
        name: Boxes(name, arrays, {k: v[name] for k, v in scores.items()}, of)
        for name, of in run.details['sets'].items()
    }


def box_summary(run: Run, sets: Mapping[str, Boxes]) -> dict:
    """Counts, histograms and rows of classes; see `summary`."""
    known, classes = sets['id'], run.details['classes']
    sides = {}
    for score in run.details['scores']:
        id_scores = known.scores[score]
        sides[score] = {
            name: _side(known, sets[name], id_scores, score, classes)
            for name in run.sets
        }
    return summary(run, sides)


def _side(
    known: Boxes,
    unknown: Boxes,
    id_scores: np.ndarray,
    score: str,
    classes: list[str],
) -> Side:
    scores, best = unknown.scores[score], unknown.best[score]
    return Side(
        known=Tally(id_scores),
        unknown=Tally(scores),
        objects=Tally(best[unknown.is_seen]),
        num_objects=len(best),
        classes={
            name: (
                Tally(id_scores[known.label == number]),
                Tally(scores[unknown.label == number]),
            )
            for number, name in enumerate(classes)
        },
        categories=lambda thresholds: _categories(unknown, best, thresholds),
    )


def _categories(
    unknown: Boxes, best: np.ndarray, thresholds: np.ndarray
) -> list[dict]:
    """A row for each category of a set's objects, the most frequent first."""
    rows = []
    for label in np.unique(unknown.object_label):
        chosen = unknown.object_label == label
        found = Tally(best[chosen & unknown.is_seen])
        names = unknown.classes
        rows.append(
            dict(
                name=names[label] if label < len(names) else f'class {label}',
                total=int(chosen.sum()),
                boxed=found.total,
                steps=steps(found, thresholds),
            )
        )
    return sorted(rows, key=lambda row: -row['total'])
