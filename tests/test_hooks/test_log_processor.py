"""Lines of the log say no number twice."""

from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from mmood.hooks import OODLogProcessor
from mmood.registry import LOG_PROCESSORS

SCALARS = {
    'time': 0.25,
    'data_time': 0.125,
    'ood/bbox_mAP': 0.5,
    'ood/bbox_mAP_m': float('nan'),
    'ood/ood_threshold': -2.0,
    'ood/ood_threshold/energy': -2.0,
    'ood/near/energy/AUROC': 0.75,
    'ood/near set/energy/AUROC': 0.875,
    'ood/near/energy/AOSE': 1,
    'ood/near/energy/AOSE_of_more': 12,
    'ood/steps/AP': float('nan'),
}


@pytest.fixture
def runner(request):
    hub = MessageHub.get_instance(request.node.name)
    for name, value in SCALARS.items():
        hub.update_scalar(f'test/{name}', value)
    loop = SimpleNamespace(dataloader=[0, 0, 0])
    return SimpleNamespace(message_hub=hub, test_loop=loop)


def test_the_line_is_short_and_the_scalars_are_all(runner):
    config = dict(type='mmood.OODLogProcessor', num_digits=2)
    processor = LOG_PROCESSORS.build(config)
    assert isinstance(processor, OODLogProcessor)
    tag, line = processor.get_log_after_epoch(runner, 3, 'test')
    assert line.split('  ') == [
        'Epoch(test) [3/3]',
        '',
        'ood/bbox_mAP: 0.50',
        'ood/bbox_mAP_m: nan',
        'ood/ood_threshold: -2.00',
        'time: 0.25',
        'data_time: 0.12',
    ]
    assert {**tag, **SCALARS}.keys() == tag.keys()
    assert tag['ood/near/energy/AUROC'] == 0.75


@pytest.mark.parametrize('base', [0.5, 0.25])
def test_a_step_tells_a_learning_rate_once(request, base):
    hub = MessageHub.get_instance(request.node.name)
    for name, value in dict(base_lr=base, lr=0.5, loss=2.0).items():
        hub.update_scalar(f'train/{name}', value)
    runner = SimpleNamespace(
        message_hub=hub, iter=1, max_iters=9, _train_loop=object()
    )
    tag, line = OODLogProcessor(by_epoch=False).get_log_after_iter(
        runner, 1, 'train'
    )
    rates = {0.5: 'lr: 5.0000e-01', 0.25: 'base_lr: 2.5000e-01 lr: 5.0000e-01'}
    assert line == f'Iter(train) [2/9]  {rates[base]}  loss: 2.0000'
    assert tag['base_lr'] == base
