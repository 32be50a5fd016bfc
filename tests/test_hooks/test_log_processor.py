"""The last line of a test says what the tables do not."""

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
