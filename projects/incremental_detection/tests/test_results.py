"""The table, from numbers that are worked out by hand."""

from __future__ import annotations

import math

import pytest
from results import Line, columns_of, render, value_of

BASE = {'AP50': 80.0, 'old/AP50': 80.0, 'AP50/a': 70.0, 'AP50/b': 90.0}
LAST = {
    'AP50': 50.0,
    'AP75': 30.0,
    'old/AP50': 45.0,
    'new/AP50': 60.0,
    'AP50/a': 60.0,
    'AP50/b': 30.0,
    'AP50/c': 60.0,
}
RUN = dict(step_0=BASE, step_1=LAST)


def test_columns():
    values = {c: value_of(RUN, 'step_1', c) for c in columns_of()}
    assert values == {
        'AP50 old': 45.0,
        'AP50 new': 60.0,
        'AP50 all': 50.0,
        'AP75 old': None,
        'AP75 new': None,
        'AP75 all': 30.0,
        'forgetting': (70 - 60 + 90 - 30) / 2,
    }
    assert value_of(RUN, 'step_0', 'forgetting') is None
    assert value_of(dict(step_1=LAST), 'step_1', 'forgetting') is None
    assert value_of(RUN, 'step_0', 'AP50 new') is None


def test_columns_of_classes():
    assert columns_of(['a', 'c']) == ['a', 'c', 'AP50 all']
    assert value_of(RUN, 'step_1', 'c') == 60.0
    assert value_of(RUN, 'step_0', 'c') is None


def test_forgetting_is_that_of_the_base_classes_in_each_later_stage():
    later = {'AP50/a': 50.0, 'AP50/b': 50.0, 'AP50/c': 0.0, 'AP50/d': 1.0}
    run = dict(RUN, step_2=later)
    assert value_of(run, 'step_2', 'forgetting') == 30.0


def test_mean_and_deviation_over_the_finished_runs():
    other = dict(step_0=BASE, step_1=dict(LAST, AP50=56.0))
    line = Line('m', 'step_1', [RUN, dict(step_0=BASE), other, {}])
    assert line.spread('AP50 all') == pytest.approx((53.0, math.sqrt(18)))
    assert line.spread('AP75 new') is None
    assert line.spread('forgetting').mean == 35.0
    assert math.isnan(Line('m', 'step_1', [RUN]).spread('AP50 all').deviation)
    assert Line('m', 'step_1', []).spread('AP50 all') is None


def test_nan_stays_nan():
    run = dict(step_0=BASE, step_1=dict(LAST, AP50=float('nan')))
    line = Line('m', 'step_1', [RUN, run])
    assert math.isnan(line.spread('AP50 all').mean)
    assert '| nan ' in render([line], ['AP50 all'])


def test_uneven_runs_are_counted():
    lines = [
        Line('one', 'step_1', [RUN, RUN]),
        Line('two', 'step_1', [RUN, dict(step_0=BASE)]),
    ]
    assert render(lines, ['AP50 all', 'forgetting']) == (
        '| method | AP50 all ↑ | forgetting ↓ | seeds |\n'
        '|--------|------------|--------------|-------|\n'
        '| one    | 50.0 ± 0.0 | 35.0 ± 0.0   | 2/2   |\n'
        '| two    | 50.0       | 35.0         | 1/2   |\n'
        '\n'
        'in %, mean ± sample deviation over the seeds\n'
    )


def test_nothing_finished():
    text = render([Line('m', 'step_1', [{}])], ['AP50 all'])
    assert text.splitlines()[2] == '| m      | -          | 0/1   |'
    assert text.endswith('\nin %\n')


def test_latex_and_csv():
    lines = [Line('a & b', s, [RUN]) for s in ('step_0', 'step_1')]
    columns = ['AP50 new', 'forgetting']
    assert render(lines, columns, 'csv') == (
        'method,stage,seeds,AP50 new_mean,AP50 new_std,'
        'forgetting_mean,forgetting_std\n'
        'a & b,step_0,1,,,,\n'
        'a & b,step_1,1,60,nan,35,nan\n'
    )
    text = render(lines, columns, 'latex', with_stage=True)
    rows = r'a \& b & step\_1 & 60.0 & 35.0 \\'
    assert rows in text.splitlines()
    assert '% in %, one seed' in text
