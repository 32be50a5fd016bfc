"""Thresholds that go by the names of scores."""

import math
import warnings

import pytest
import torch
from torch import nn

from mmood.scores import Thresholds
from mmood.scores.thresholds import check_score_name


def calibrated(**values):
    thresholds = Thresholds(values)
    for name, value in values.items():
        thresholds[name].fill_(value)
    return thresholds


def values_of(thresholds):
    buffers = thresholds.named_buffers()
    return {name: buffer.item() for name, buffer in buffers}


def test_nothing_exceeds_what_is_not_calibrated():
    thresholds = Thresholds(['energy', 'knn'])
    assert not (torch.tensor([-9.0, 9.0]) > thresholds['energy']).any()
    assert thresholds['msp'].isnan()  # of no score in the list
    thresholds['energy'].fill_(2.0)
    assert thresholds['energy'] == 2
    assert thresholds['knn'].isnan()
    thresholds.forget()
    assert thresholds['energy'].isnan()


@pytest.mark.parametrize(
    'names', ['energy knn', 'knn energy', 'knn', 'energy']
)
def test_another_list_has_its_own_thresholds(names):
    """Another order, or one less: energies stay energies."""
    given = dict(energy=-3.0, knn=0.5)
    names = names.split()
    thresholds = Thresholds(names)
    state = calibrated(**given).state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = thresholds.load_state_dict(state, strict=False)
    assert not found.missing_keys
    assert values_of(thresholds) == {name: given[name] for name in names}


def test_a_first_score_without_a_threshold_flags_nothing():
    """It can say why; a training, which makes its own, need not hear it."""
    state = calibrated(energy=-3.0, knn=0.5).state_dict()
    thresholds = calibrated(msp=0.1, energy=7.0)  # of other weights
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        thresholds.load_state_dict(state, strict=False)
    reason = (
        'the checkpoint has thresholds for energy, knn, not for msp, the '
        'first score'
    )
    assert thresholds.reasons == dict(msp=reason)
    assert thresholds['msp'].isnan()
    assert thresholds['energy'] == -3


def test_weights_without_thresholds_leave_none():
    thresholds = calibrated(energy=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        thresholds.load_state_dict({}, strict=False)
    assert thresholds['energy'].isnan()


def test_a_state_dict_has_one_of_each_by_name():
    state = nn.Sequential(calibrated(knn=2.0, energy=3.0)).state_dict()
    found = {name: value.item() for name, value in state.items()}
    assert found == {'0.knn': 2, '0.energy': 3}


@pytest.mark.parametrize('name', ['', 'a.b', 'a/b', 'a\\b', 'a\0', 7, None])
def test_names_that_metrics_and_checkpoints_cannot_have(name):
    with pytest.raises(ValueError, match="without '.', '/'"):
        check_score_name(name, nn.Module())


@pytest.mark.parametrize('name', ['training', 'forward', 'forget', 'is_ood'])
def test_names_that_modules_have_taken(name):
    with pytest.raises(ValueError, match=f'called {name!r}.*Thresholds'):
        Thresholds(['energy', name])


def test_any_other_name_will_do():
    names = ['kNN, k = 10', 'naïve', 'ood_threshold', '0']
    assert (
        list(values_of(calibrated(**dict.fromkeys(names, math.pi)))) == names
    )


def test_a_threshold_belongs_to_the_arguments_too():
    def thresholds(**arguments):
        return Thresholds(('energy', 'knn'), dict(energy=arguments))

    source = thresholds(temperature=2.0)
    for name in ('energy', 'knn'):
        source[name].fill_(1.0)
    same = thresholds(temperature=2.0)
    same.load_state_dict(source.state_dict(), strict=False)
    assert same['energy'] == 1 and not same.reasons
    for other in (thresholds(), thresholds(temperature=3.0)):
        other.load_state_dict(source.state_dict(), strict=False)
        assert 'energy was calibrated' in other.reasons['energy']
        assert 'other arguments' in other.reasons['energy']
        assert other['energy'].isnan() and other['knn'] == 1
