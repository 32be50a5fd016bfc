"""The table, from numbers that are worked out by hand."""

from __future__ import annotations

from results import columns_of, report, value_of, values_of

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


def test_columns_of_an_open_world():
    unknown = {
        'id/open_set/R_U': 12.0,
        'id/open_set/WI': 3.0,
        'id/open_set/AOSE': 40,
    }
    run = dict(RUN, step_1={**LAST, **unknown})
    columns = columns_of(None, {'m': [run]})
    assert columns == [*columns_of(), 'U-Recall', 'WI', 'A-OSE']
    found = [value_of(run, 'step_1', c) for c in columns[-3:]]
    assert found == [12.0, 3.0, 40]
    assert columns_of(None, {'m': [RUN]}) == columns_of()
    assert columns_of(['a'], {'m': [run]}) == columns_of(['a'])
    text = report_of({'m': [run]}, columns)
    assert 'U-Recall ↑' in text and 'A-OSE ↓' in text and 'WI ↓' in text
    # The last task leaves nothing unknown.
    run['step_1']['id/open_set/R_U'] = float('nan')
    found = [value_of(run, 'step_1', c) for c in columns[-3:]]
    assert found == [None, None, None]


def test_columns_of_classes():
    assert columns_of(['a', 'c']) == ['a', 'c', 'AP50 all']
    assert value_of(RUN, 'step_1', 'c') == 60.0
    assert value_of(RUN, 'step_0', 'c') is None


def test_forgetting_is_that_of_the_base_classes_in_each_later_stage():
    later = {'AP50/a': 50.0, 'AP50/b': 50.0, 'AP50/c': 0.0, 'AP50/d': 1.0}
    run = dict(RUN, step_2=later)
    assert value_of(run, 'step_2', 'forgetting') == 30.0


def test_values_of_the_runs():
    other = dict(step_0=BASE, step_1=dict(LAST, AP50=56.0))
    runs = [RUN, other]
    assert values_of(runs, 'step_1', 'AP50 all') == [50.0, 56.0]
    assert values_of(runs, 'step_1', 'AP75 new') is None
    assert values_of(runs, 'step_1', 'forgetting') == [35.0, 35.0]
    assert values_of([], 'step_1', 'AP50 all') == []


def report_of(methods, columns, *rest, stages=('step_1',), **more):
    """With the same stages of all methods."""
    stages = dict.fromkeys(methods, stages)
    return report(methods, stages, columns, *rest, **more)


def test_nan_stays_nan():
    run = dict(step_0=BASE, step_1=dict(LAST, AP50=float('nan')))
    assert '| nan ' in report_of({'m': [RUN, run]}, ['AP50 all'])


def test_uneven_runs_are_counted():
    methods = {'one': [RUN, RUN], 'two': [RUN, dict(step_0=BASE)]}
    assert report_of(methods, ['AP50 all', 'forgetting']) == (
        '| method   | AP50 all ↑   | forgetting ↓   | seeds   |\n'
        '|----------|--------------|----------------|---------|\n'
        '| one      | 50.0 ± 0.0   | 35.0 ± 0.0     | 2/2     |\n'
        '| two      | 50.0         | 35.0           | 1/2     |\n'
        '\n'
        'in %, mean ± sample deviation over the seeds\n'
    )


def test_nothing_finished():
    text = report_of({'m': [{}]}, ['AP50 all'])
    assert text.splitlines()[2] == '| m        | -            | 0/1     |'
    assert text.endswith('\nin %\n')


def test_latex_and_csv():
    methods, columns = {'a & b': [RUN]}, ['AP50 new', 'forgetting']
    both = dict(stages=['step_0', 'step_1'])
    assert report_of(methods, columns, 'csv', **both) == (
        'method,stage,seeds,AP50 new_mean,AP50 new_std,'
        'forgetting_mean,forgetting_std\n'
        'a & b,step_0,1,,,,\n'
        'a & b,step_1,1,60,nan,35,nan\n'
    )
    text = report_of(methods, columns, 'latex', with_stage=True, **both)
    rows = r'a \& b & step\_1 & 60.0 & 35.0 \\'
    assert rows.split() in [line.split() for line in text.splitlines()]
    assert '% in %, one seed' in text
