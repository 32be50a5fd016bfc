"""State that is copied between a model and its averages."""

import copy

import torch
from torch import nn

from mmood.ops import (
    ClassQueues,
    FeatureRange,
    copy_exact,
    exact_state,
    forget_fits,
)
from mmood.scores import KNN, Samples, Thresholds


def model():
    parts = dict(
        layer=nn.BatchNorm1d(2),
        queues=ClassQueues(2, 2, 3),
        range=FeatureRange(2),
        knn=KNN(2, 1),
        thresholds=Thresholds(['energy', 'knn']),
    )
    return nn.ModuleDict(parts)


def used():
    one = model()
    x = torch.randn(5, 2)
    one['layer'](x)
    one['queues'].append(x, torch.tensor([0, 1, 1, 0, 1]))
    one['range'].update(x)
    one['knn'].reset()
    one['knn'].update(Samples(features=x), torch.zeros(5))
    one['knn'].finish()
    one['thresholds']['knn'].fill_(0.5)
    return one


def test_a_copy_gets_all_but_the_averages_in_place():
    source, target = used(), model()
    held = dict(target.named_buffers())
    copy_exact(source, target)
    state = target.state_dict()
    for name, value in exact_state(source).items():
        torch.testing.assert_close(state[name], value, equal_nan=True)
        if name != 'knn.bank':  # of another size
            assert dict(target.named_buffers())[name] is held[name]
    assert target['knn'].is_fitted and len(target['knn'].bank) == 5
    assert not target['layer'].running_mean.any()
    target['knn'].bank.zero_()
    assert source['knn'].bank.any()


def test_forgetting_is_for_what_belongs_to_one_set_of_weights():
    one = used()
    before = copy.deepcopy(one)
    forget_fits(one)
    assert not one['knn'].is_fitted and one['knn'].bank.shape == (0, 2)
    assert one['thresholds']['knn'].isnan()
    for name in ('queues', 'range', 'layer'):
        for mine, other in zip(one[name].buffers(), before[name].buffers()):
            assert torch.equal(mine, other)
