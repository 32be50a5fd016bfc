"""YAML is data: plain values are read, everything else is refused."""

import mmengine
import pytest
from mmengine.config import Config

import mmood.registry  # noqa: F401
from mmood.config import ConfigError, load_yaml, read_config

BOMB = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
    f'{b}: &{b} [{", ".join([f"*{a}"] * 10)}]\n'
    for a, b in zip('abcdef', 'bcdefg')
)


def test_plain_values_and_aliases():
    text = """
    base: &base {lr: 1.0e-3, name: x}
    row: {<<: *base, name: y}
    list: [1, on, null, 2020-01-02, !!str 5]
    """
    found = load_yaml(text)
    assert found['row'] == dict(lr=0.001, name='y')
    assert [str(v) for v in found['list']] == [
        '1', 'True', 'None', '2020-01-02', '5',
    ]  # fmt: skip
    assert load_yaml('') is None


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'a: 1\nb: !!python/object/apply:os.getcwd []',
            'line 2: the tag ',
        ),
        ('!!python/name:os.system', '!!python/name:os.system is not let in'),
        ('a: !!python/tuple [1]', 'belongs into a .py config'),
        ('a: !own 1', 'the tag !own'),
        ('a: 1\nb: 2\na: 3', "line 3: the key 'a' again"),
        ('rows: [{name: a, name: b}]', "the key 'name' again"),
        (BOMB, 'more than 1000000 values'),
        ('a: &a [*a]', 'an alias that contains itself'),
        ('[' * 150 + ']' * 150, '100 levels'),
        ('[' * 5000 + ']' * 5000, 'nested too deeply'),
        (f'a: {"9" * 5000}', 'no valid YAML: Exceeds the limit'),
        ('a: 2020-13-45', 'month must be in'),
        ('a: [1', 'line 1: '),
        ('a: "\0"', 'special characters are not allowed'),
        ('{[1]: 2}', 'unhashable'),
        ('--- 1\n--- 2', 'but found another document'),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ConfigError) as error:
        load_yaml(text)
    assert message in str(error.value).replace('\n', ' ')


@pytest.mark.parametrize('suffix', ['yaml', 'yml'])
def test_mmengine_runs_no_code_of_yaml(tmp_path, suffix):
    """Nor does a Python config of its ``_base_``."""
    path = tmp_path / f'a.{suffix}'
    made = tmp_path / 'made'
    path.write_text(f'a: !!python/object/apply:os.mkdir ["{made}"]')
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = 'a.{suffix}'")
    for read in (mmengine.load, Config.fromfile, read_config):
        for file in (path, child)[: 1 if read is mmengine.load else 2]:
            with pytest.raises(ConfigError, match='os.mkdir is not let in'):
                read(str(file))
    with pytest.raises(ConfigError, match=f'a.{suffix}: line 1: '):
        read_config(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"a": ' + '[' * 99999, 'a.json is nested too deeply'),
        ('{"a": ' + '9' * 5000 + '}', 'a.json: Exceeds the limit'),
        ('{"a"}', 'a.json: '),
        ('[1]', 'a.json: the file must hold a dict'),
    ],
)
def test_json_that_is_no_config_is_named(tmp_path, text, message):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_errors_of_python_configs_stay_theirs(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text("raise ValueError('mine')")
    with pytest.raises(ValueError, match='^mine$'):
        read_config(path)
