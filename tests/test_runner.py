"""The log of a training says what a person acts on."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import nn

from mmood.recipe import resolve
from mmood.runner import OODRunner, parameter_groups


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 2), nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.two(self.one(torch.stack(inputs))).mean())


@pytest.fixture
def runner(tmp_path, request):
    return OODRunner(
        Model(),
        str(tmp_path),
        train_dataloader=dict(
            batch_size=2,
            dataset=[dict(inputs=torch.rand(3)) for _ in range(4)],
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.5, weight_decay=0.25),
            paramwise_cfg=dict(
                custom_keys=dict(two=dict(lr_mult=8, decay_mult=0))
            ),
        ),
        param_scheduler=[
            dict(
                type='LinearLR',
                end=0.25,  # of an epoch of two iterations
                convert_to_iter_based=True,
            )
        ],
        default_scope='mmengine',
        experiment_name=request.node.name,
    )


def test_a_training_tells_learning_rates_in_one_line(runner, tmp_path):
    runner.train()
    (log,) = tmp_path.glob('*/*.log')
    lines = [
        line.split(' - ')[-1]
        for line in log.read_text().split('\n')
        if ' - ' in line
    ]
    told = 'parameters: 2 with lr 0.5 and weight_decay 0.25, '
    assert lines.count(told + '2 with lr 4 and weight_decay 0') == 1
    assert not [line for line in lines if 'paramwise' in line]
    assert not [line for line in lines if '"FileClient"' in line]
    assert any(line.startswith('Checkpoints will be saved') for line in lines)


def test_a_warm_up_takes_an_iteration_at_least(runner):
    runner.train()
    assert [s.end for s in runner.param_schedulers] == [1]


def test_equal_settings_are_not_told():
    weights = [torch.zeros(1) for _ in range(3)]
    groups = [dict(params=weights, lr=0.5), dict(params=weights, lr=0.5)]
    assert parameter_groups(groups) == ''


def test_other_loggers_are_left_alone(runner):
    record = logging.LogRecord(
        'x', logging.INFO, '', 0, 'paramwise_options -- %s', ('w:lr=1',), None
    )
    assert not runner.logger.filter(record)
    record.msg, record.args = 'w is skipped since its requires_grad=False', ()
    assert not runner.logger.filter(record)
    assert MMLogger.get_instance('other').filter(record)


def test_parts_of_our_bases_lose_the_scope_that_they_have_there():
    """Stock parts are built in the default scope, with no word about it."""
    cfg = Config(
        dict(
            val_cfg=dict(type='ValLoop', _scope_='mmood'),
            model=dict(type='FasterRCNN', _scope_='mmdet'),
            custom_hooks=[dict(type='mmood.FiniteLossHook', _scope_='mmood')],
        )
    )
    resolved = resolve(cfg)
    assert resolved.val_cfg == dict(type='ValLoop')
    assert resolved.model == dict(type='FasterRCNN', _scope_='mmdet')
    assert resolved.custom_hooks == [dict(type='mmood.FiniteLossHook')]


def test_the_config_sets_the_precision_of_products(runner):
    before = torch.get_float32_matmul_precision()
    try:
        runner.setup_env(dict(runner.cfg.get('env_cfg') or {}, dist_cfg={}))
        assert torch.get_float32_matmul_precision() == before
        runner.setup_env(dict(float32_matmul_precision='medium'))
        assert torch.get_float32_matmul_precision() == 'medium'
    finally:
        torch.set_float32_matmul_precision(before)
