"""What tools do before a runner is built, with configs of any form."""

import argparse

import pytest
from mmdet.models import FasterRCNN
from mmengine.config import Config, ConfigDict
from mmseg.models import EncoderDecoder

from mmood.config import read_config
from mmood.det.evaluation import OODDetMetric
from mmood.launch import (
    OptionsAction,
    add_common_arguments,
    build_runner,
    clear_errors,
    first_set,
    for_first_set,
    is_first_process,
    is_segmentor,
    load_config,
    metric_configs,
    type_name,
    use_checkpoint,
)


@pytest.mark.parametrize(
    ('cfg', 'expected'),
    [
        (dict(default_scope='mmseg'), True),
        (dict(default_scope='mmdet', model=None), False),
        (dict(default_scope=None, model=dict(type=FasterRCNN)), False),
        (dict(model=dict(type=EncoderDecoder)), True),
        (dict(model=dict(type='mmdet.models.FasterRCNN')), False),
    ],
)
def test_task(cfg, expected):
    assert is_segmentor(Config(cfg)) is expected


def test_no_task():
    cfg = Config(dict(default_scope='mmengine', model=dict(type='Net')))
    with pytest.raises(ValueError, match="set default_scope to 'mmdet' or"):
        is_segmentor(cfg)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda one: one,
        lambda one: dict(type='RepeatDataset', times=2, dataset=one),
        lambda one: dict(datasets=[one, dict(type='other')]),
        lambda one: dict(dataset=dict(datasets=[dict(dataset=one)])),
    ],
)
def test_first_set(wrap):
    one = dict(type='mmood.IDCocoDataset', pipeline=[])
    assert first_set(ConfigDict(wrap(one))) == one


def test_metrics():
    one = dict(type='mmood.OODDetMetric')
    forms = (one, [one], dict(type='Evaluator', metrics=[one]))
    for form in (*forms, dict(metrics=one)):
        cfg = Config(dict(test_evaluator=form))
        (found,) = metric_configs(cfg.test_evaluator)
        found['out_dir'] = 'x'
        assert "'out_dir': 'x'" in str(cfg.to_dict())
    assert metric_configs(None) == []
    assert type_name(one) == 'mmood.OODDetMetric'
    assert type_name(dict(type=OODDetMetric)).startswith('mmood.')


def test_a_checkpoint_is_all_that_is_loaded():
    cfg = Config(dict(resume=True, load_from='first.pth'))
    use_checkpoint(cfg, 'last.pth')
    assert (cfg.load_from, cfg.resume) == ('last.pth', False)


def test_the_config_of_the_first_set():
    one = dict(type='A', pipeline=[])
    loader = dict(num_workers=0, dataset=dict(datasets=[one, dict(type='B')]))
    for cfg in (
        ConfigDict(test_dataloader=loader),
        ConfigDict(test_dataloader=None, val_dataloader=loader),
    ):
        found = for_first_set(cfg)
        expected = dict(num_workers=0, dataset=one)
        assert found.test_dataloader == expected
        found.test_dataloader.dataset.type = 'changed'
    assert loader['dataset']['datasets'][0]['type'] == 'A'
    with pytest.raises(ValueError, match='config has no test_dataloader'):
        for_first_set(ConfigDict())


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    return parser.parse_args(list(map(str, arguments)))


@pytest.mark.parametrize(
    ('launcher', 'variable'),
    [
        ('pytorch', 'RANK'),
        ('slurm', 'SLURM_PROCID'),
        ('mpi', 'OMPI_COMM_WORLD_RANK'),
    ],
)
def test_one_process_is_the_first(launcher, variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    assert is_first_process(launcher)
    monkeypatch.setenv(variable, '0')
    assert is_first_process(launcher)
    monkeypatch.setenv(variable, '3')
    assert not is_first_process(launcher)
    assert is_first_process('none')


def test_a_yaml_config_is_data(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.path', [])
    path = tmp_path / 'a.yaml'
    path.write_text('model: {type: A, lr: 1.0e-3}')
    cfg = load_config(parse(path))
    assert cfg.model == dict(type='A', lr=0.001)
    assert cfg.work_dir == 'work_dirs/a'
    path.write_text('model: !!python/object/apply:os.getcwd []')
    with (
        pytest.raises(SystemExit, match=f'error: {path}: line 1: the tag'),
        clear_errors(),
    ):
        load_config(parse(path))


def test_a_config_without_a_model(tmp_path):
    (tmp_path / 'spec.yaml').write_text('rows: []')
    cfg = read_config(tmp_path / 'spec.yaml')
    with (
        pytest.raises(SystemExit, match='error: .*spec.yaml has no model'),
        clear_errors(),
    ):
        build_runner(cfg)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('/a b/c.pth', '/a b/c.pth'),
        ("'/a b'", '/a b'),
        ('[1, 2.5]', [1, 2.5]),
        ('(a, b)', ('a', 'b')),
        ('1e-3', 0.001),
        ("'1e-3'", '1e-3'),
        ('None', None),
        ('[{"a": (1, 2)}]', [{'a': (1, 2)}]),
        ("['a, b', c]", ['a', 'b', 'c']),  # no Python: as MMEngine has it
        ("don't", "don't"),
    ],
)
def test_options(text, expected, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    found = parser.parse_args(['--cfg-options', f'a.b={text}'])
    assert found.cfg_options == {'a.b': expected}
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a.b'])
    assert "--cfg-options: 'a.b' is not KEY=VALUE" in capsys.readouterr().err
