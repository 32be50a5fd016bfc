"""What the page shows of a test of pixels.

Shapes: h x w pixels of a small map, T thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .counts import Tally
from .pictures import png_uri
from .runs import Run
from .sides import Side, summary


def pixel_summary(run: Run) -> dict:
    """Counts, histograms and rows of classes; see `summary`."""
    with np.load(run.folder / 'pixels.npz') as file:
        arrays = dict(file)
    sides: dict[str, dict[str, Side]] = {}
    for score in run.details['scores']:
        sides[score] = {
            name: Side(*found, classes=_classes(run, arrays, name, score))
            for name in run.sets
            if (found := _tallies(arrays, f'{name}/{score}')) is not None
        }
    return summary(run, sides)


def _tallies(
    arrays: Mapping[str, np.ndarray], place: str
) -> tuple[Tally, Tally] | None:
    """Of ID and of OOD pixels; None if nothing was counted there."""
    if f'{place}/edges' not in arrays:
        return None
    edges = arrays[f'{place}/edges']
    known, unknown = (arrays[f'{place}/{side}'] for side in ('id', 'ood'))
    return Tally(edges, known), Tally(edges, unknown)


def _classes(
    run: Run, arrays: Mapping[str, np.ndarray], name: str, score: str
) -> dict[str, tuple[Tally, Tally]]:
    """By name of the class that pixels were taken for."""
    start, end = f'{name}/{score}/', '/edges'
    numbers = sorted(
        int(key[len(start) : -len(end)])
        for key in arrays
        if key.startswith(start) and key.endswith(end)
        if key != f'{name}/{score}{end}'
    )
    return {
        class_name(run, number): found
        for number in numbers
        if (found := _tallies(arrays, f'{start}{number}')) is not None
    }


def class_name(run: Run, number: int) -> str:
    """That of the checkpoint's classes, or the number."""
    classes = (run.facts.get('checkpoint') or {}).get('classes') or ()
    known = number < len(classes)
    return classes[number] if known else f'class {number}'


def pixel_cases(run: Run, counted: Mapping[str, dict]) -> list[dict]:
    """The images that the test kept, by kind, set and score.

    Each has what `box_cases` gives, ``scene`` being the image's path, and
    ``levels``, a PNG: red is how many of the score's thresholds lie below
    the pixel's value, green the label.
    """
    found: list[dict] = []
    ranks: dict[tuple, int] = {}
    path = run.folder / 'cases.npz'
    with np.load(path) as file:
        for number, case in enumerate(run.details['cases']):
            key = case['set'], case['score'], case['kind']
            rank = ranks[key] = ranks.get(key, -1) + 1
            if case['score'] not in counted:
                continue
            grid = np.array(counted[case['score']]['thresholds'])
            found.append(
                {
                    'set': case['set'],
                    'kind': case['kind'],
                    'score': case['score'],
                    'rank': rank,
                    'scene': case['image'],
                    'class': None
                    if case['number'] is None
                    else class_name(run, case['number']),
                    'value': case['value'],
                    'levels': png_uri(
                        file[f'{number}/map'], file[f'{number}/label'], grid
                    ),
                }
            )
    return found
