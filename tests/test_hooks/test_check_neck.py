"""Maps and losses that nobody makes or takes, before the first iteration."""

import copy
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmood.hooks import CheckDataHook
from mmood.hooks.check_neck import check_neck, put_into_chain
from mmood.losses import ConsistencyLoss, UncertaintyLoss
from mmood.necks import DFDDNeck
from mmood.outliers import AnnotatedOutliers, BlurredOutliers

DFDD = (ConsistencyLoss(), UncertaintyLoss())


class Head(nn.Module):
    collects_losses = True


class Mask(nn.Module):
    """Stands for a stock head."""


def model(neck, *losses, source=None, head=Head):
    parts = dict(neck=neck, head=head(), losses=nn.ModuleList(losses))
    return nn.ModuleDict(
        {**parts, **(dict(outliers=source) if source else {})}
    )


def neck(**options):
    return nn.Sequential(nn.Identity(), DFDDNeck(4, **options))


@pytest.mark.parametrize(
    'fits',
    [
        model(neck(), *DFDD, source=BlurredOutliers()),
        model(neck(deblur=False), UncertaintyLoss(), source=BlurredOutliers()),
        model(neck(deblur=False), head=Mask),
        model(neck()),
        model(nn.Identity(), UncertaintyLoss(), source=AnnotatedOutliers()),
        nn.Linear(2, 2),
    ],
    ids=range(6),
)
def test_what_fits_passes(fits):
    check_neck(fits)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (
            model(nn.Identity(), source=BlurredOutliers()),
            'BlurredOutliers looks at blurred maps, and no neck makes them: '
            'put an mmood.DFDDNeck',
        ),
        (
            model(neck(deblur=False), ConsistencyLoss()),
            'ConsistencyLoss looks at deblurred maps.*deblur=True',
        ),
        (
            model(nn.Sequential(DFDDNeck(4), nn.Identity())),
            'the neck behind DFDDNeck drops its maps and losses: put DFDDNeck',
        ),
        (
            model(neck(), head=Mask),
            'no head of ModuleDict takes the loss_deblur of DFDDNeck: set '
            'roi_head.type to mmood.OODRoIHead',
        ),
    ],
)
def test_what_does_not_is_refused_before_the_training(wrong, message):
    runner = SimpleNamespace(model=wrong)
    with pytest.raises(ValueError, match=message):
        CheckDataHook().before_train(runner)


class Detector(nn.Module):
    def __init__(self, neck):
        super().__init__()
        self.neck = neck


@pytest.mark.parametrize('wrapped', [True, False])
def test_a_plain_necks_weights_load_into_the_first_of_a_list(wrapped):
    plain = Detector(nn.Sequential(OrderedDict(lateral=nn.Conv2d(4, 4, 1))))
    chain = Detector(nn.Sequential(plain.neck, DFDDNeck(4)))
    own = copy.deepcopy(chain.state_dict())
    weights = {k: v + 1 for k, v in plain.state_dict().items()}
    checkpoint = dict(state_dict=weights) if wrapped else weights
    CheckDataHook().after_load_checkpoint(
        SimpleNamespace(model=chain), checkpoint
    )
    missing, unexpected = chain.load_state_dict(weights, strict=False)
    assert not unexpected and all('neck.1.' in name for name in missing)
    name = 'neck.0.lateral.weight'
    assert torch.equal(chain.state_dict()[name], own[name] + 1)


def test_weights_that_fit_stay_as_they_are():
    chain = Detector(nn.Sequential(nn.Conv2d(4, 4, 1), DFDDNeck(4)))
    plain = Detector(nn.Conv2d(4, 4, 1))
    for model in (chain, plain):
        weights = dict(model.state_dict())
        put_into_chain(model, weights)
        assert set(weights) == set(model.state_dict())
