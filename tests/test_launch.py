"""What tools do before a runner is built."""

import argparse

import pytest

from mmood.launch import add_common_arguments, is_first_process, load_config


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
    with pytest.raises(SystemExit, match=f'error: {path}: line 1: the tag'):
        load_config(parse(path))
