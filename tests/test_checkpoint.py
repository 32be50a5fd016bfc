"""Safe loading: what MMEngine stores is read, anything else is not."""

import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import nn

from mmood.checkpoint import (
    CheckpointError,
    allow_checkpoint_types,
    check_weights,
    find_resumable,
    history_buffer_attribute,
    last_checkpoint,
    resume_problem,
)

DTYPES = '?bBhHiIlLqQefd'


@pytest.fixture(autouse=True)
def _allowed():
    """The list as the function makes it, and as it was afterwards."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    allow_checkpoint_types()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def reload(content, path):
    torch.save(content, path)
    return torch.load(path, weights_only=True)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


def test_history_buffers_come_back(tmp_path):
    buffer = HistoryBuffer()
    for value, count in ((1.0, 1), (2.0, 3), (np.float64(4), 2)):
        buffer.update(value, count)
    loaded = reload(dict(loss=buffer), tmp_path / 'a.pth')['loss']
    assert isinstance(loaded, HistoryBuffer)
    for got, expected in zip(loaded.data, buffer.data):
        np.testing.assert_array_equal(got, expected)
    assert loaded.current() == 4
    assert loaded.mean() == pytest.approx(7 / 6)
    assert loaded.statistics('min') == 1


@pytest.mark.parametrize('code', DTYPES)
def test_numpy_scalars_and_arrays_of_every_kind_come_back(code, tmp_path):
    array = np.array([[0, 1], [1, 1]], dtype=code)
    loaded = reload(dict(a=array, s=array[0, 1]), tmp_path / 'a.pth')
    assert loaded['a'].dtype == array.dtype
    assert loaded['s'].dtype == array.dtype
    assert loaded['s'] == 1
    np.testing.assert_array_equal(loaded['a'], array)


def test_tensors_and_containers_come_back(tmp_path):
    weight = torch.randn(3, 2)
    content = dict(
        state_dict={'layer.weight': weight, 'threshold': torch.tensor(0.5)},
        meta=dict(epoch=3, name='x', seen=(1, 2), box=np.ones((1, 4))),
    )
    loaded = reload(content, tmp_path / 'a.pth')
    assert torch.equal(loaded['state_dict']['layer.weight'], weight)
    assert loaded['state_dict']['threshold'] == 0.5
    assert loaded['meta']['seen'] == (1, 2)
    assert loaded['meta']['epoch'] == 3
    np.testing.assert_array_equal(loaded['meta']['box'], np.ones((1, 4)))


@pytest.mark.parametrize('content', [HistoryBuffer(), np.float64(1)])
def test_nothing_of_it_loads_without_the_list(content, tmp_path):
    torch.serialization.clear_safe_globals()
    with pytest.raises(pickle.UnpicklingError):
        reload(content, tmp_path / 'a.pth')


def test_allowing_twice_changes_nothing(tmp_path):
    before = len(torch.serialization.get_safe_globals())
    allow_checkpoint_types()
    assert len(torch.serialization.get_safe_globals()) == before
    assert reload(np.float64(1.5), tmp_path / 'a.pth') == 1.5


@pytest.mark.parametrize('kind', ['system', 'eval', 'exec', 'open', 'mkdir'])
def test_calls_are_refused_and_not_made(kind, tmp_path):
    trace, path = tmp_path / 'trace', tmp_path / 'a.pth'
    write = f'open({str(trace)!r}, "w").close()'
    evil = dict(
        system=Call(os.system, f'touch "{trace}"'),
        eval=Call(eval, write),
        exec=Call(exec, write),
        open=Call(open, str(trace), 'w'),
        mkdir=Call(os.mkdir, str(trace)),
    )[kind]
    with pytest.raises(pickle.UnpicklingError):
        reload(dict(state_dict={'w': torch.ones(1)}, meta=evil), path)
    assert not trace.exists()
    # The file would have done it.
    torch.load(path, weights_only=False)
    assert trace.exists()


@pytest.mark.parametrize('owner', [np.ndarray, np.dtype])
def test_attributes_of_other_classes_are_refused(owner, tmp_path):
    evil = Call(getattr, owner, '__init__')
    with pytest.raises((AttributeError, pickle.UnpicklingError)) as caught:
        reload(evil, tmp_path / 'a.pth')
    assert 'HistoryBuffer' in str(caught.value)


def test_methods_of_the_buffer_are_given_but_not_called(tmp_path):
    buffer = HistoryBuffer([1.0], [1])
    path = tmp_path / 'a.pth'
    assert reload(HistoryBuffer.mean, path) is HistoryBuffer.mean
    with pytest.raises(pickle.UnpicklingError):
        reload(Call(HistoryBuffer.mean, buffer), path)


def test_only_attributes_of_the_buffer_are_given():
    assert history_buffer_attribute(HistoryBuffer, 'max') is HistoryBuffer.max

    class Derived(HistoryBuffer):
        pass

    for owner in (object, os, np.ndarray, Derived, HistoryBuffer(), None):
        with pytest.raises(AttributeError, match="'max' of .*HistoryBuffer"):
            history_buffer_attribute(owner, 'max')


def save(path, **more):
    content = dict(state_dict={'w': torch.zeros(99)}, meta={}, message_hub={})
    torch.save({**content, **more}, path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints of a training, the marker names the last."""
    for number in (5, 10, 100):
        save(tmp_path / f'iter_{number}.pth')
    save(tmp_path / 'best_mAP_iter_100.pth')
    (tmp_path / 'last_checkpoint').write_text('/moved/iter_100.pth')
    return tmp_path


def test_the_last_checkpoint_lies_beside_its_marker(folder):
    assert last_checkpoint(folder) == folder / 'iter_100.pth'
    assert find_resumable(folder) == (folder / 'iter_100.pth', [])
    (folder / 'last_checkpoint').write_bytes(b'\xff')
    assert last_checkpoint(folder) is None
    assert last_checkpoint(folder / 'nowhere') is None
    assert find_resumable(folder / 'nowhere') == (None, [])


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda content: b'', 'cannot be read (EOFError)'),
        (lambda content: content[: len(content) // 2], 'finding central'),
        (lambda content: b'words', 'cannot be read (UnpicklingError: Weights'),
        (
            lambda content: content.replace(bytes(99), b'1' * 99),
            'checksum of ',
        ),
    ],
)
def test_a_damaged_last_checkpoint_is_passed_over(folder, change, reason):
    """By number, not by name or time: 10 comes after 5."""
    last = folder / 'iter_100.pth'
    last.write_bytes(change(last.read_bytes()))
    found, passed = find_resumable(folder)
    assert found == folder / 'iter_10.pth'
    assert len(passed) == 1
    assert passed[0].startswith(f'{last} ') and reason in passed[0]


@pytest.mark.parametrize(
    ('break_marker', 'passed'),
    [
        (lambda path: path.unlink(), 'last_checkpoint is missing'),
        (lambda path: path.write_text(''), 'names no file that is there'),
        (lambda path: path.write_text('/a/iter_7.pth'), 'names no file that '),
    ],
)
def test_without_a_marker_the_newest_is_found(folder, break_marker, passed):
    break_marker(folder / 'last_checkpoint')
    found, said = find_resumable(folder)
    assert found == folder / 'iter_100.pth'
    assert len(said) == 1 and passed in said[0]


def test_where_none_can_be_read_all_are_named(folder):
    for path in folder.glob('iter_*'):
        path.write_bytes(b'')
    found, passed = find_resumable(folder)
    assert found is None
    assert [text.split('/')[-1].split()[0] for text in passed] == [
        f'iter_{number}.pth' for number in (100, 10, 5)
    ]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', r'cannot be read \(EOFError\)'),
        (b'words', 'cannot be read'),
        ([1], 'holds a list'),
        (dict(state_dict=None), 'a NoneType as state_dict, which must be a'),
        (dict(state_dict={}, meta=[]), 'a list as meta, which must be a dict'),
        (
            dict(state_dict={}, meta=dict(dataset_meta='a')),
            'a str as dataset_meta',
        ),
        (
            dict(state_dict={}, hidden=Call(os.system, 'true')),
            'asks for .*system, which is no data and could run code',
        ),
    ],
)
def test_mmengine_names_the_file_that_is_no_checkpoint(
    tmp_path, content, message
):
    path = tmp_path / 'a.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=f'{path} .*{message}'):
        CheckpointLoader.load_checkpoint(str(path), 'cpu')
    with pytest.raises(CheckpointError, match='no checkpoint .*b.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'b.pth'), 'cpu')


def test_mmengine_reads_no_holes(tmp_path):
    path = save(tmp_path / 'a.pth')
    assert CheckpointLoader.load_checkpoint(str(path), 'cpu')['meta'] == {}
    path.write_bytes(path.read_bytes().replace(bytes(99), b'1' * 99))
    with pytest.raises(CheckpointError, match='a.pth is damaged .*checksum'):
        CheckpointLoader.load_checkpoint(str(path), 'cpu')


def test_weights_of_another_model():
    model = nn.Linear(2, 2)
    check_weights(model, dict(state_dict={'module.bias': 0}))
    check_weights(model, dict(weight=0))
    for state in ({}, {'backbone.weight': 0}):
        with pytest.raises(CheckpointError, match=f'of the {len(state)} wei'):
            check_weights(model, dict(state_dict=state))


def test_weights_alone_are_nothing_to_go_on_from(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict={}), path)
    assert resume_problem(path) == 'has no meta'
    torch.save([1], path)
    assert resume_problem(path) == 'holds a list, no dict'
