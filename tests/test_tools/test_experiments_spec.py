from __future__ import annotations

import argparse

import numpy as np
import pytest
import run_table
from experiments import spec

from mmood.launch import OptionsAction


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two empty configs where the tools are called."""
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').touch()
    return tmp_path


def load(text, name='spec.py'):
    path = spec.Path(name)
    path.write_text(text)
    return spec.load_table(path)


def test_yaml_and_python_are_the_same():
    python = load(
        "out = 'o'\nseeds = [3]\ncfg_options = dict(x=dict(y=1), z=2)\n"
        "rows = [dict(name='A', config='a.py', score='msp', tag='t',\n"
        "    cfg_options={'x.y': [1.5, None], 'w': True})]\n"
    )
    yaml = load(
        'out: o\nseeds: [3]\ncfg_options: {x: {y: 1}, z: 2}\n'
        'rows:\n- name: A\n  config: a.py\n  score: msp\n  tag: t\n'
        '  cfg_options: {x: {y: [1.5, null]}, w: true}\n',
        'spec.yaml',
    )
    assert python == yaml
    (row,) = yaml.rows
    assert row.cfg_options == {'x.y': [1.5, None], 'z': 2, 'w': True}
    assert (row.folder, row.test_folder) == ('a_t', 'ood')
    assert (str(yaml.out), yaml.seeds) == ('o', [3])


def test_defaults():
    table = load("rows = [dict(name='A', config='a.py')]")
    assert str(table.out) == 'work_dirs/spec'
    assert list(table.seeds) == [0, 1, 2]
    assert table.rows[0].score is None and table.rows[0].cfg_options == {}


A = "dict(name='A', config='a.py'"


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('seeds = [0]', 'rows is empty'),
        ('rows = []', 'rows is empty'),
        ('rows = 3', 'rows must be a list of dicts, got 3'),
        ('rows = [3]', 'a row must be a dict, got 3'),
        (f'rows = [{A})]\nseed = 1', r"unknown keys \['seed'\], known are"),
        (f'rows = [{A}, tags=1)]', r"row 'A': unknown keys \['tags'\]"),
        ("rows = [dict(config='a.py')]", 'it needs a name, as text'),
        ("rows = [dict(name='A')]", "row 'A': it needs a config"),
        ("rows = [dict(name='A', config='c.py')]", 'c.py does not exist'),
        (f"rows = [{A}, load_from='c.py')]", 'c.py does not exist'),
        (f"rows = [{A}, load_from='a.py')]", 'would share the folder a'),
        (f'rows = [{A}, cache=True)]', 'cache needs a load_from'),
        (f"rows = [{A}, tag='x/y')]", "part of a folder name.*'x/y'"),
        (f'rows = [{A}), {A})]', r"got twice: \['A'\]"),
        (f'rows = [{A}, seeds=[])]', r"row 'A': seeds must be .* got \[\]"),
        (f'rows = [{A}, seeds=0)]', "row 'A': seeds must be .* got 0"),
        (f'rows = [{A})]\nseeds = []', r'seeds must be .* got \[\]'),
        (f'rows = [{A})]\nseeds = [1, 1]', r'seeds must be .* got \[1, 1\]'),
        (f'rows = [{A})]\nseeds = 3', 'seeds must be .* got 3'),
        (
            f'rows = [{A}, cfg_options=3)]',
            "'A': options must be a dict, got 3",
        ),
        (
            f'rows = [{A}, cfg_options=dict(randomness=dict(seed=1)))]',
            'randomness.seed is set by seeds',
        ),
        (
            f"rows = [{A}), dict(name='B', config='a.py', "
            'cfg_options=dict(x=1))]',
            "'A' and 'B' would share the folder a but differ in cfg_options: "
            'give one of them a tag',
        ),
        (
            f"rows = [{A}), dict(name='B', config='a.py', "
            'test_options=dict(x=1))]',
            'share the folder a but differ in test_options: give one of '
            'them a test_tag',
        ),
        ('rows = [', 'spec spec.py: it cannot be read: .*never closed'),
    ],
)
def test_errors(text, message):
    with pytest.raises(ValueError, match=message):
        load(text)


def test_a_row_may_have_fewer_seeds():
    table = load(
        f"seeds = [4, 2, 7]\ncolumns = ['AUROC']\nrows = [{A}, seeds=[4, 2]), "
        "dict(name='B', config='b.py')]"
    )
    assert [table.seeds_of(row) for row in table.rows] == [[4, 2], [4, 2, 7]]
    assert table.columns == ['AUROC']


@pytest.mark.parametrize(
    ('given', 'expected'),
    [([4, 2, 7], [4, 2]), ([7], []), ([7, 2], [2]), ([2, 4], [2, 4])],
)
def test_a_rows_seeds_are_those_of_the_tables(folder, given, expected):
    path = folder / 'spec.py'
    path.write_text(f'seeds = [4, 2, 7]\nrows = [{A}, seeds=[4, 2])]')
    table = spec.load_table(path, seeds=given)
    assert table.seeds_of(table.rows[0]) == expected


@pytest.mark.parametrize(
    ('base', 'differs'),
    [
        ("config='c/a.py'", 'config'),
        ("config='a.py', load_from='b.py'", 'load_from'),
    ],
)
def test_a_start_shares_no_folder_with_another_training(folder, base, differs):
    (folder / 'c').mkdir()
    (folder / 'c/a.py').touch()
    rows = f"dict(name='A', {base}), dict(name='B', config='b.py', "
    with pytest.raises(ValueError, match=f'folder a but differ in {differs}'):
        load(f"rows = [{rows}load_from='a.py', tag='t')]")


def test_a_start_is_the_row_of_its_config_alone():
    b = "dict(name='B', config='b.py', load_from='a.py')"
    other = f"{A}, tag='t')"
    with_row = load(
        f"rows = [{b}, {other}, dict(name='C', config='a.py', "
        'cfg_options=dict(x=1))]'
    )
    assert with_row.start_of(with_row.rows[0]) is with_row.rows[2]
    without = load(f'rows = [{b}, {other}]')
    start = without.start_of(without.rows[0])
    assert (start.name, start.folder, start.cfg_options) == ('a', 'a', {})


def test_same_names_of_configs_are_found(folder):
    (folder / 'c').mkdir()
    (folder / 'c/a.py').touch()
    with pytest.raises(ValueError, match='folder a but differ in config'):
        load(f"rows = [{A}), dict(name='B', config='c/a.py')]")


def test_tags_tell_options_apart():
    table = load(
        f"rows = [{A}), dict(name='B', config='a.py', tag='b', "
        "cfg_options=dict(x=1)), dict(name='C', config='a.py', test_tag='c', "
        'test_options=dict(x=1))]'
    )
    assert [row.folder for row in table.rows] == ['a', 'a_b', 'a']
    assert [r.test_folder for r in table.rows] == ['ood', 'ood', 'ood_c']


@pytest.mark.parametrize(
    'value',
    [
        *(0, -1, 1.0, 1e-5, float('inf'), True, None, 'text', '', [], (), [1]),
        *((1,), [1, (2.5, 'a')], [[], [1, 2]], '/a b/c-d', ['x', None, False]),
        *('[a b]', '1e-3', 'a,b', 'True', [{'a': 1}], {}, '(,', "'a'", "it's"),
        *([float('nan'), 'a'], {'a': (1,), 'b': 'x=y'}, '{', '$a', '\\'),
    ],
)
def test_values_come_back_as_they_were(value):
    (argument,) = spec.to_arguments({'a.b': value})
    # What the tool makes of it, on the other side.
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    parsed = parser.parse_args(['--cfg-options', argument]).cfg_options
    assert repr(parsed) == repr({'a.b': value})


@pytest.mark.parametrize('value', [object(), [{'a': object}], np.float64(1)])
def test_values_that_would_change_are_refused(value):
    with pytest.raises(ValueError, match='key=.* is no plain value'):
        spec.to_arguments({'key': value})


def test_what_is_no_spec_is_refused(folder, capsys):
    (folder / 'a.py').write_text('model = dict()')
    for arguments, message in (
        (['a.py'], "spec a.py: unknown keys ['model'], known are ['out',"),
        (['b.py'], 'spec b.py: rows is empty'),
        (['nowhere.py'], "No such file or directory: 'nowhere.py'"),
    ):
        with pytest.raises(SystemExit) as stop:
            run_table.main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
