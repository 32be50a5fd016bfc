"""How far two runs of one model on one picture are apart.

Shapes: n and m boxes, (H, W) maps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def differences(ours: Mapping, theirs: Mapping) -> dict[str, float]:
    """The largest difference of each kind, between results of `OnnxModel`.

    Of detectors ``unmatched`` boxes, ``boxes`` in pixels, ``scores`` and
    ``is_ood``, and each OOD score by its name: of each of our boxes and the
    nearest one of theirs with its label. Of segmentors ``classes`` and
    ``is_ood``, shares of the pixels, and each score by its name. Those of OOD
    scores are relative to our largest one where that is above 1.
    """
    is_detection = 'boxes' in ours
    parts = ('boxes', 'scores') if is_detection else ()
    pairs = {name: (ours[name], theirs[name]) for name in parts}
    for name, values in ours['ood_scores'].items():
        pairs[name] = values, theirs['ood_scores'][name]
    flags = [name for name in ('classes', 'is_ood') if name in ours]
    pairs.update((name, (ours[name], theirs[name])) for name in flags)
    found = {}
    if is_detection:
        own, other = _matched(ours, theirs)
        count = len(ours['boxes']) + len(theirs['boxes'])
        found['unmatched'] = float(count - 2 * len(own))
        pairs = {k: (a[own], b[other]) for k, (a, b) in pairs.items()}
    for name, (a, b) in pairs.items():
        if name in flags:
            found[name] = float(np.mean(a != b)) if np.size(a) else 0.0
        else:
            found[name] = float(np.abs(a - b).max(initial=0))
        if name in ours['ood_scores']:
            largest = np.abs(ours['ood_scores'][name]).max(initial=1)
            found[name] /= float(largest)
    return found


def _matched(ours: Mapping, theirs: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Places of pairs, each box in one of them, nearest ones first."""
    steps = np.abs(ours['boxes'][:, None] - theirs['boxes'][None])
    distances = steps.max(2, initial=0)
    is_other = ours['labels'][:, None] != theirs['labels'][None]
    distances[is_other] = np.inf
    pairs = []
    while distances.size and distances.min() < np.inf:
        pair = np.unravel_index(distances.argmin(), distances.shape)
        pairs.append(pair)
        distances[pair[0]], distances[:, pair[1]] = np.inf, np.inf
    places = np.array(pairs, int).reshape(-1, 2)
    return places[:, 0], places[:, 1]
