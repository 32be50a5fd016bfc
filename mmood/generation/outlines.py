"""Outlines of the Shapes objects, in a unit circle.

A shape is a list of contours (n, 2), x right, y down; where contours
overlap, the even-odd rule decides, so that a second one is a hole.
"""

from __future__ import annotations

import numpy as np


def _polar(angles: np.ndarray, radii: np.ndarray | float) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], 1) * np.reshape(
        radii, (-1, 1)
    )


def _arc(start: float, end: float, radius: float, n: int = 40) -> np.ndarray:
    return _polar(np.linspace(start, end, n), radius)


def regular(sides: int, radius: float = 1.0) -> list[np.ndarray]:
    return [_polar(np.arange(sides) * 2 * np.pi / sides, radius)]


def star(points: int, inner: float) -> list[np.ndarray]:
    angles = np.arange(2 * points) * np.pi / points
    return [_polar(angles, np.tile([1.0, inner], points))]


def ring(outer: list[np.ndarray], hole: float) -> list[np.ndarray]:
    return [outer[0], outer[0] * hole]


def polygon(*points: tuple[float, float]) -> list[np.ndarray]:
    return [np.array(points, dtype=np.float64)]


def crescent() -> list[np.ndarray]:
    outer = _arc(0.7, 2 * np.pi - 0.7, 1.0)
    inner = _arc(2 * np.pi - 0.95, 0.95, 0.79) + [0.3, 0.0]
    return [np.concatenate([outer, inner])]


def half_disc() -> list[np.ndarray]:
    return [_arc(0, np.pi, 1.0) - [0, 0.4]]


def spiral() -> list[np.ndarray]:
    turn = np.linspace(0.6, 4.4 * np.pi, 120)
    middle = turn / turn[-1]
    out = _polar(turn, middle)
    back = _polar(turn, np.maximum(middle - 0.2, 0.02))
    return [np.concatenate([out, back[::-1]])]


def gear() -> list[np.ndarray]:
    angles = np.linspace(0, 2 * np.pi, 73)[:-1]
    teeth = np.where(np.arange(72) % 9 < 4, 1.0, 0.74)
    return [_polar(angles, teeth), _arc(0, 2 * np.pi, 0.34)]


def fish() -> list[np.ndarray]:
    t = np.linspace(0.35, 2 * np.pi - 0.35, 50)
    body = np.stack([0.25 - 0.72 * np.cos(t), 0.45 * np.sin(t)], 1)
    body[:, 0] *= -1
    tail = np.array([[-0.95, -0.5], [-0.75, 0.0], [-0.95, 0.5]])
    return [np.concatenate([body[:25], body[25:], tail[::-1] * [-1, 1]])]


def dumbbell() -> list[np.ndarray]:
    right = _arc(-2.6, 2.6, 0.42) + [0.6, 0]
    left = _arc(np.pi - 2.6, np.pi + 2.6, 0.42) - [0.6, 0]
    return [np.concatenate([right, left])]


def tree() -> list[np.ndarray]:
    right = [(0, -1), (0.45, -0.4), (0.22, -0.4), (0.62, 0.1), (0.3, 0.1)]
    right += [(0.78, 0.62), (0.14, 0.62), (0.14, 1)]
    left = [(-x, y) for x, y in right[::-1]]
    return polygon(*right, *left)


ID = dict(
    circle=[_arc(0, 2 * np.pi, 0.9)],
    square=regular(4),
    triangle=regular(3),
    star=star(5, 0.42),
    cross=polygon(
        *((-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3)),
        *((0.95, 0.3), (0.3, 0.3), (0.3, 0.95), (-0.3, 0.95)),
        *((-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3)),
    ),
    ring=ring([_arc(0, 2 * np.pi, 0.95)], 0.55),
    crescent=crescent(),
    arrow=polygon(
        *((1, 0), (0.2, -0.7), (0.2, -0.28), (-0.95, -0.28)),
        *((-0.95, 0.28), (0.2, 0.28), (0.2, 0.7)),
    ),
)

NEAR = dict(
    pentagon=regular(5),
    half_disc=half_disc(),
    four_star=star(4, 0.38),
    tee=polygon(
        *((-0.85, -0.85), (0.85, -0.85), (0.85, -0.3), (0.28, -0.3)),
        *((0.28, 0.95), (-0.28, 0.95), (-0.28, -0.3), (-0.85, -0.3)),
    ),
    frame=ring(regular(4), 0.55),
    chevron=polygon(
        *((0.9, 0), (0.1, -0.85), (-0.6, -0.85), (0.2, 0)),
        *((-0.6, 0.85), (0.1, 0.85)),
    ),
)

FAR = dict(
    spiral=spiral(),
    gear=gear(),
    fish=fish(),
    dumbbell=dumbbell(),
    tree=tree(),
    bolt=polygon(
        *((0.15, -1), (-0.55, 0.15), (-0.08, 0.15), (-0.3, 1)),
        *((0.55, -0.2), (0.08, -0.2), (0.45, -1)),
    ),
)
