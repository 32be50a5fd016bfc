"""Thresholds that go by the names of scores."""

import math
import warnings

import pytest
import torch
from torch import nn

from mmood.scores import Thresholded, Thresholds, check_score_name


class Owner(Thresholded, nn.Module):
    def __init__(self, *names):
        super().__init__()
        self.ood_thresholds = Thresholds(names)


def calibrated(**values):
    owner = Owner(*values)
    for name, value in values.items():
        owner.ood_thresholds[name].fill_(value)
    return owner


def values_of(owner):
    buffers = owner.ood_thresholds.named_buffers()
    return {name: buffer.item() for name, buffer in buffers}


def test_nothing_exceeds_what_is_not_calibrated():
    owner = Owner('energy', 'knn')
    assert not (torch.tensor([-9.0, 9.0]) > owner.ood_threshold).any()
    assert owner.ood_thresholds['msp'].isnan()  # of no score in the list
    owner.ood_threshold.fill_(2.0)
    assert owner.ood_thresholds['energy'] == 2
    assert owner.ood_thresholds['knn'].isnan()
    owner.ood_thresholds.forget()
    assert owner.ood_threshold.isnan()


@pytest.mark.parametrize(
    'names', ['energy knn', 'knn energy', 'knn', 'energy']
)
def test_another_list_has_its_own_thresholds(names):
    """Another order, or one less: energies stay energies."""
    given = dict(energy=-3.0, knn=0.5)
    names = names.split()
    owner = Owner(*names)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = owner.load_state_dict(calibrated(**given).state_dict())
    assert not found.missing_keys and not found.unexpected_keys
    assert values_of(owner) == {name: given[name] for name in names}
    assert owner.ood_threshold == given[names[0]]


def test_a_first_score_without_a_threshold_flags_nothing_and_says_so():
    state = calibrated(energy=-3.0, knn=0.5).state_dict()
    owner = calibrated(msp=0.1, energy=7.0)  # of other weights
    message = 'thresholds for energy, knn, not for msp, .*fit_scores.py'
    with pytest.warns(UserWarning, match=message):
        owner.load_state_dict(state)
    assert owner.ood_threshold.isnan()
    assert owner.ood_thresholds['energy'] == -3


def test_a_threshold_without_a_name_belongs_to_no_score():
    owner = Owner('energy')
    with pytest.warns(UserWarning, match='a score without a name'):
        owner.load_state_dict(dict(ood_threshold=torch.tensor(2.0)))
    assert owner.ood_threshold.isnan()


def test_weights_without_thresholds_leave_none():
    owner = calibrated(energy=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        owner.load_state_dict({})
    assert owner.ood_threshold.isnan()


def test_a_state_dict_has_that_of_the_first_score_beside():
    state = nn.Sequential(calibrated(knn=2.0, energy=3.0)).state_dict()
    assert {name: value.item() for name, value in state.items()} == {
        '0.ood_threshold': 2,
        '0.ood_thresholds.knn': 2,
        '0.ood_thresholds.energy': 3,
    }


@pytest.mark.parametrize('name', ['', 'a.b', 'a/b', 'a\\b', 'a\0', 7, None])
def test_names_that_metrics_and_checkpoints_cannot_have(name):
    with pytest.raises(ValueError, match="without '.', '/'"):
        check_score_name(name, nn.Module())


@pytest.mark.parametrize('name', ['training', 'forward', 'forget'])
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
    same.load_state_dict(source.state_dict())
    assert same['energy'] == 1
    for other in (thresholds(), thresholds(temperature=3.0)):
        with pytest.warns(UserWarning, match='energy .* other arguments'):
            other.load_state_dict(source.state_dict())
        assert other['energy'].isnan() and other['knn'] == 1
