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


def comb() -> list[np.ndarray]:
    teeth = []
    for x in (-0.95, -0.43, 0.09, 0.61):
        teeth += [(x, 0.75), (x + 0.34, 0.75), (x + 0.34, -0.1)]
        teeth += [(x + 0.52, -0.1)]
    return polygon((-0.95, -0.6), *teeth[:-1], (0.95, -0.6))


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
    bar=polygon((-1, -0.35), (1, -0.35), (1, 0.35), (-1, 0.35)),
    triangle=regular(3),
    star=star(5, 0.36),
    cross=polygon(
        *((-0.2, -1), (0.2, -1), (0.2, -0.2), (1, -0.2)),
        *((1, 0.2), (0.2, 0.2), (0.2, 1), (-0.2, 1)),
        *((-0.2, 0.2), (-1, 0.2), (-1, -0.2), (-0.2, -0.2)),
    ),
    ring=ring([_arc(0, 2 * np.pi, 0.95)], 0.55),
    crescent=crescent(),
    arrow=polygon(
        *((1, 0), (0.2, -0.7), (0.2, -0.28), (-0.95, -0.28)),
        *((-0.95, 0.28), (0.2, 0.28), (0.2, 0.7)),
    ),
)

NEAR = dict(
    rhombus=polygon((1, 0), (0, 0.6), (-1, 0), (0, -0.6)),
    half_disc=half_disc(),
    four_star=star(4, 0.38),
    tee=polygon(
        *((-0.85, -0.85), (0.85, -0.85), (0.85, -0.3), (0.28, -0.3)),
        *((0.28, 0.95), (-0.28, 0.95), (-0.28, -0.3), (-0.85, -0.3)),
    ),
    ell=polygon(
        *((-0.75, -1), (-0.25, -1), (-0.25, 0.5), (0.75, 0.5)),
        *((0.75, 1), (-0.75, 1)),
    ),
    chevron=polygon(
        *((0.9, 0), (0.1, -0.85), (-0.6, -0.85), (0.2, 0)),
        *((-0.6, 0.85), (0.1, 0.85)),
    ),
)

FAR = dict(
    comb=comb(),
    gear=gear(),
    fish=fish(),
    dumbbell=dumbbell(),
    tree=tree(),
    bolt=polygon(
        *((0.15, -1), (-0.55, 0.15), (-0.08, 0.15), (-0.3, 1)),
        *((0.55, -0.2), (0.08, -0.2), (0.45, -1)),
    ),
)
