"""How numbers and limits are said."""

import math

import pytest

from mmood.visualization import words

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ('value', 'said'),
    [
        (0.8, '0.8'), (0.8349, '0.83'), (-1.26, '-1.3'), (2.0, '2'),
        (0.0312, '0.031'), (9.97, '10'), (12.4, '12'), (1234.5, '1,234'),
        (0, '0'), (3e-7, '3e-07'), (2.5e9, '2.5e+09'), (0.999, '1'),
        (INF, 'infinite'), (-INF, '-infinite'), (NAN, 'nan'),
    ],
)  # fmt: skip
def test_plain_numbers(value, said):
    assert words.plain(value) == said


@pytest.mark.parametrize(
    ('name', 'score', 'limit', 'said'),
    [
        ('dog', -1.2, -2.0, 'unknown (dog?)\n0.8 above the limit'),
        (None, 3.0, 1.0, 'unknown\n2 above the limit'),
        ('dog', INF, 1.0, 'unknown (dog?)\ninfinitely far above the limit'),
        ('dog', 0.5, 1.0, 'unknown (dog?)'),  # by another rule
        ('dog', NAN, 1.0, 'unknown (dog?)'),
        ('dog', -1.5, NAN, 'unknown (dog?)\nscore -1.5'),
    ],
)
def test_what_is_said_of_an_unknown_box(name, score, limit, said):
    assert words.unknown(name, score, limit) == said


@pytest.mark.parametrize(
    ('score', 'limit', 'said'),
    [
        (1.0, 3.0, '2 below the limit'),
        (1.0, NAN, ''),
        (-INF, 3.0, 'infinitely far below the limit'),
    ],
)
def test_distance(score, limit, said):
    assert words.distance(score, limit) == said


def test_rule():
    assert words.rule('energy', -3.2) == 'score "energy" above -3.2'
    assert words.rule('energy', NAN) == 'score "energy"'
    assert words.rule(None, NAN) == 'OOD score'
