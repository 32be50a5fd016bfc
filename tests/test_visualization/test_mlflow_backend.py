"""What MLflow is asked, of a stand-in; tests/test_hooks has the real one."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

import mmood.registry  # noqa: F401


class Mlflow:
    """The calls that were made of it."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*args, **options):
            self.calls.append((name, args, options))
            return 'its own' if name == 'get_tracking_uri' else None

        return call

    def made(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def mlflow(monkeypatch):
    stand_in = Mlflow()
    monkeypatch.setitem(sys.modules, 'mlflow', stand_in)
    return stand_in


@pytest.fixture
def build(tmp_path):
    def build(**options):
        options['save_dir'] = str(tmp_path / 'vis')
        return VISBACKENDS.build(dict(type='mmood.MLflowBackend', **options))

    return build


@pytest.mark.parametrize(
    ('options', 'address'),
    [({}, 'its own'), (dict(tracking_uri='http://a'), 'http://a')],
)
def test_runs_go_where_mlflow_says_or_where_told(
    mlflow, build, options, address
):
    build(**options).add_scalar('a', 0.5, step=3)
    assert mlflow.made('set_tracking_uri') == [((address,), {})]
    assert mlflow.made('log_metric') == [(('a', 0.5, 3), {})]


@pytest.mark.parametrize(
    ('keys', 'parameters'), [(None, {}), (['b'], {'b.c': 2})]
)
def test_a_config_is_a_file(mlflow, build, keys, parameters):
    config = Config(dict(a=1, b=dict(c=2)))
    build(tracked_config_keys=keys).add_config(config)
    assert mlflow.made('log_params') == [((parameters,), {})]
    assert mlflow.made('log_text') == [((config.pretty_text, 'config.py'), {})]


def test_pictures_have_steps_and_names_that_it_takes(mlflow, build):
    picture = np.zeros((2, 2, 3), np.uint8)
    build().add_image('val_far/ü (1).b', picture, step=7)
    ((given, options),) = mlflow.made('log_image')
    assert given[0] is picture
    assert options == dict(key='val_far/_ _1_.b', step=7)


def test_without_the_package(monkeypatch, build):
    monkeypatch.setitem(sys.modules, 'mlflow', None)
    with pytest.raises(ImportError, match=r'mmood\[mlflow\]'):
        build().add_scalar('a', 1)
