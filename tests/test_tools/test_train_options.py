"""What tools/train.py makes of a config, in any form of its keys."""

import pytest


@pytest.fixture
def built(config_of, tmp_path):
    """Function: the config that a training would be built from."""

    def run(cfg, *options):
        work = ('--work-dir', tmp_path / 'work')
        return config_of('train', cfg, *work, *options)

    return run


def test_mixed_precision_keeps_a_scale_of_its_own(built, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    cfg = dict(optim_wrapper=dict(type='OptimWrapper'))
    expected = dict(type='AmpOptimWrapper', loss_scale='dynamic')
    assert built(cfg, '--amp').optim_wrapper == expected
    cfg['optim_wrapper']['loss_scale'] = 512
    assert built(cfg, '--amp').optim_wrapper.loss_scale == 512


def test_mixed_precision_on_a_cpu_says_what_to_do(built, monkeypatch):
    """Not MMEngine's bare assertion, before anything is built."""
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    cfg = dict(optim_wrapper=dict(type='OptimWrapper'))
    with pytest.raises(SystemExit) as error:
        built(cfg, '--amp')
    assert 'env_cfg.float32_matmul_precision=medium' in str(error.value)
    assert built(cfg).optim_wrapper.type == 'OptimWrapper'


@pytest.mark.parametrize('form', [{}, dict(auto_scale_lr=None)])
def test_no_batch_size_to_scale_to(built, form, capsys):
    with pytest.raises(SystemExit):
        built(form, '--auto-scale-lr')
    assert 'needs auto_scale_lr.base_batch_size' in capsys.readouterr().err


def test_the_learning_rate_is_scaled(built):
    cfg = dict(auto_scale_lr=dict(base_batch_size=8, enable=False))
    assert built(cfg, '--auto-scale-lr').auto_scale_lr.enable is True
