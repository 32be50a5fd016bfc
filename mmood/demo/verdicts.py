"""What is said of boxes and pixels, from their scores and a limit.

Shapes: N boxes; H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmood.visualization.words import distance

_STEPS = 500  # at least, from one end of the slider to the other


@dataclass(frozen=True)
class BoxVerdict:
    """Of one box; ``name`` is the class that it has or would have had."""

    name: str
    confidence: float
    score: float
    is_unknown: bool
    words: str


@dataclass(frozen=True)
class ClassShare:
    """Of one class: the share of the pixels, and of those the unknown."""

    name: str
    share: float
    unknown: float


@dataclass(frozen=True)
class Span:
    """Ends of a slider, and the steps between them."""

    low: float
    high: float
    step: float

    def limit(self, value: float, stored: float) -> float:
        """What a place of the slider means: within a step the stored one."""
        return stored if abs(value - stored) < self.step else value


def verdict(score: float, limit: float) -> str:
    """In words: "unknown, 0.8 above the limit"."""
    if math.isnan(score):
        return 'known: its score is no number'
    if math.isnan(limit):
        return 'known: there is no limit'
    if score == limit:
        return 'known, on the limit'
    side = 'unknown' if score > limit else 'known'
    return f'{side}, {distance(score, limit)}'


def box_verdicts(
    names: Sequence[str],
    confidences: Sequence[float],
    scores: Sequence[float],
    limit: float,
) -> list[BoxVerdict]:
    """Of N boxes, those with the largest score first, nan last."""
    found = [
        BoxVerdict(
            name, confidence, score, score > limit, verdict(score, limit)
        )
        for name, confidence, score in zip(names, confidences, scores)
    ]
    return sorted(found, key=lambda one: (math.isnan(one.score), -one.score))


def class_shares(
    names: Sequence[str], classes: np.ndarray, is_unknown: np.ndarray
) -> list[ClassShare]:
    """Of the classes (H, W) that are there, the largest first."""
    found = []
    for label in np.unique(classes):
        inside = classes == label
        name = names[label] if label < len(names) else f'class {label}'
        unknown = float(is_unknown[inside].mean())
        found.append(ClassShare(name, float(inside.mean()), unknown))
    return sorted(found, key=lambda one: -one.share)


def span(scores: np.ndarray, limit: float) -> Span:
    """A slider on which every finite score and the limit lies inside.

    (-1, 1) without any. Its ends are whole steps, which are powers of ten.
    """
    values = np.append(np.ravel(scores), limit).astype(float)
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (-1.0, 1.0)
    wide = (high - low) or max(abs(high), 1.0)
    margin = wide * (0.05 if high > low else 0.5)
    step = 10.0 ** math.floor(math.log10(wide / _STEPS))
    low = math.floor((low - margin) / step)
    high = math.ceil((high + margin) / step)
    digits = max(0, -round(math.log10(step)))
    return Span(*(round(n * step, digits) for n in (low, high, 1)))


def counted(count: int, one: str, several: str) -> str:
    return f'{count} {one if count == 1 else several}'


def percent(share: float) -> str:
    """A share in words that does not call little nothing."""
    if 0 < share < 0.001:
        return 'under 0.1 %'
    if 0.999 < share < 1:
        return 'over 99.9 %'
    return f'{100 * share:.1f} %'
