"""What is said of a score and its limit."""

from __future__ import annotations

import math


def plain(value: float) -> str:
    """A number as people write it: two digits that count, no exponent."""
    size = abs(value)
    if not math.isfinite(value):
        sign = '-' if value < 0 else ''
        return 'nan' if math.isnan(value) else f'{sign}infinite'
    if size >= 1e6:
        return f'{value:.1e}'
    if size >= 10 or size == 0:
        return f'{value:,.0f}'
    if size < 1e-4:
        return f'{value:.0e}'
    digits = 1 - math.floor(math.log10(size))
    return f'{value:.{digits}f}'.rstrip('0').rstrip('.')


def distance(score: float, limit: float) -> str:
    """How far a score lies beyond the limit, '' where there is none."""
    if math.isnan(score) or math.isnan(limit):
        return ''
    side = 'above' if score > limit else 'below'
    if math.isinf(score):
        return f'infinitely far {side} the limit'
    return f'{plain(abs(score - limit))} {side} the limit'


def unknown(name: str | None, score: float, limit: float) -> str:
    """Of a box that is called unknown, in two lines.

    ``name`` is the class that it would have had, None if there is none. One
    whose score is not above the limit was judged by another rule: nothing is
    said of it then. Without a limit (nan) the score stands alone.
    """
    first = 'unknown' if name is None else f'unknown ({name}?)'
    if math.isnan(limit):
        said = f'score {plain(score)}'
    else:
        said = distance(score, limit) if score > limit else ''
    return f'{first}\n{said}' if said else first


def rule(score: str | None, limit: float) -> str:
    """What is called unknown."""
    named = 'OOD score' if score is None else f'score "{score}"'
    return named if math.isnan(limit) else f'{named} above {plain(limit)}'
